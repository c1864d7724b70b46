# The jobs of jobs.py in metafor: how long each takes, and its answers.
#
#   Rscript benchmarks/metafor.R studies.csv results.json seconds repetitions      (run.py does it)
#
# Studies come as rows (set, yi, vi). Every job runs once with a tightened threshold, which warms R up and gives answers
# to compare, and is then timed as metafor comes: until `seconds` have passed, and at least `repetitions` times.
# Exit code 3: metafor is not installed.

if (!requireNamespace("metafor", quietly = TRUE))
   quit(status = 3)
suppressMessages(library(metafor))

arguments <- commandArgs(trailingOnly = TRUE)
studies <- split(read.csv(arguments[1]), ~ set)
seconds <- as.numeric(arguments[3])
repetitions <- as.integer(arguments[4])

# Iterate until tau2 moves by less than 1e-12 instead of 1e-5; more iterations, since that needs them.
tight <- list(threshold = 1e-12, maxiter = 10000)

# Subsets and sign flips are numbered in binary, the first study being the lowest digit, so that the order of the
# answers does not depend on the program.
number <- function(chosen) c(chosen %*% 2^(seq_len(ncol(chosen)) - 1))
subsets <- function(k) {
   chosen <- as.matrix(expand.grid(rep(list(c(FALSE, TRUE)), k)))
   chosen[rowSums(chosen) >= 1, ]
}
answers <- function(fit)
   c(estimate = c(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub, p = fit$pval, tau2 = fit$tau2,
     i2 = fit$I2, q = fit$QE)

# ---- Jobs: the work, and apart from its time the answers as named columns -----------------------------------------
jobs <- list(
   single = list(
      set = "bcg",
      work = function(yi, vi, control) rma(yi, vi, test = "adhoc", control = control),
      columns = function(fit) as.list(answers(fit))
   ),
   leave_one_out = list(
      set = "bcg",
      work = function(yi, vi, control) leave1out(rma(yi, vi, test = "adhoc", control = control)),
      columns = function(out) list(estimate = out$estimate, se = out$se, ci_low = out$ci.lb, ci_high = out$ci.ub,
                                   p = out$pval, tau2 = out$tau2, i2 = out$I2, q = out$Q)
   ),
   subsets_hk = list(
      set = "severity",
      work = function(yi, vi, control)
         apply(subsets(length(yi)), 1, function(s)
            answers(rma(yi[s], vi[s], test = "knha", control = control))),
      columns = function(table) split(table, factor(rownames(table), rownames(table)))
   ),
   permutation = list(
      set = "bcg",
      work = function(yi, vi, control)
         permutest(rma(yi, vi, test = "adhoc", control = control), exact = TRUE, progbar = FALSE),
      columns = function(test) list(t = unlist(test$zval.perm), p = test$pval)
   ),
   gosh = list(
      set = "bcg",
      work = function(yi, vi, control) gosh(rma(yi, vi, control = control), progbar = FALSE),
      columns = function(out) {
         ordered <- out$res[order(number(out$incl)), ]
         list(estimate = ordered$estimate, tau2 = ordered$tau2, i2 = ordered$I2, h2 = ordered$H2, q = ordered$QE)
      }
   )
)

# ---- Timing -------------------------------------------------------------------------------------------------------
timed <- function(work) {
   start <- Sys.time()
   result <- suppressWarnings(work())
   list(seconds = as.numeric(Sys.time() - start, units = "secs"), result = result)
}
run <- function(job) {
   data <- studies[[job$set]]
   exact <- suppressWarnings(job$work(data$yi, data$vi, tight))
   times <- c()
   while (length(times) < repetitions || sum(times) < seconds) {
      once <- timed(function() job$work(data$yi, data$vi, list()))
      times <- c(times, once$seconds)
   }
   list(seconds = times, answers = job$columns(once$result), tight = job$columns(exact))
}

# ---- JSON: 17 significant digits give every double back; lists of columns, NA as null -------------------------------
json <- function(x) {
   if (is.list(x))
      return(paste0("{", paste0("\"", names(x), "\": ", vapply(x, json, ""), collapse = ",\n"), "}"))
   if (is.character(x))
      return(paste0("\"", x, "\""))
   paste0("[", paste(ifelse(is.na(x), "null", sprintf("%.17g", as.numeric(x))), collapse = ", "), "]")
}
versions <- list(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")))
writeLines(json(list(versions = versions, jobs = lapply(jobs, run))), arguments[2])
