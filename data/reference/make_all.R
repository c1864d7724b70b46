# Make every file of this folder again, one script after the other. From the root of the repository:
#
#     Rscript data/reference/make_all.R

scripts <- setdiff(sort(list.files("data/reference", "[.]R$", full.names = TRUE)), "data/reference/make_all.R")
for (script in scripts) {
  message(script)
  status <- system2("Rscript", script)
  if (status != 0) stop(script, " ended with status ", status)
}
