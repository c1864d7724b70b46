# The outside numbers that the tests compare with: metafor's, clubSandwich's and base R's, at full precision.
#
#   Rscript data/reference/make_reference.R
#
# writes metafor.json, harms.json and specifications.json beside this file, in about two minutes. It needs metafor,
# metadat and clubSandwich. The files hold no time, path or random number: the same versions give the same bytes. Every
# block keeps the calls that made it, and its inputs, so that the tests need no R.

here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))))
root <- dirname(dirname(here))
source(file.path(here, "parts", "common.R"))

# A part is a file of definitions that ends in a function reference(); its names are its own.
part <- function(name) {
   message(name)
   scope <- new.env()
   sys.source(file.path(here, "parts", paste0(name, ".R")), envir = scope)
   scope$reference()
}

write <- function(file, packages, ...) {
   head <- list(made_by = "Rscript data/reference/make_reference.R", versions = versions(packages))
   writeLines(json(c(head, ...)), file.path(here, file))
}

write("metafor.json", c("metafor", "metadat", "clubSandwich"),
      list(pooling = part("pooling"), diagnostics = part("diagnostics"), multilevel = part("multilevel")))
write("harms.json", c("metafor", "metadat"), part("harms"))
write("specifications.json", "metafor", part("specifications"))
