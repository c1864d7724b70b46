# Reference results from metafor for the Python tests, at full precision.
#
#   Rscript data/reference/make_reference.R        (from the root of the repository; needs metafor and metadat)
#
# writes data/reference/metafor.json. The file depends on the versions of R and metafor only: no time, no path.
# Every block keeps the call that made it, and its inputs, so that the tests need no R.

suppressMessages(library(metafor))

# ---- JSON, with 17 significant digits: enough to give every double back exactly -------------------------------------
# Vectors of length 1 become scalars unless wrapped in I(). NA becomes null. Lists of single values take one line.
json <- function(x, indent = "") {
   if (is.list(x)) {
      short <- all(vapply(x, function(item) is.atomic(item) && length(item) <= 2L, NA))
      deeper <- if (short) "" else paste0(indent, " ")
      items <- vapply(x, json, "", indent = deeper)
      if (!is.null(names(x)))
         items <- paste0("\"", names(x), "\": ", items)
      brackets <- if (is.null(names(x))) c("[", "]") else c("{", "}")
      if (short)
         return(paste0(brackets[1], paste(items, collapse = ", "), brackets[2]))
      return(paste0(brackets[1], "\n", paste0(deeper, items, collapse = ",\n"), "\n", indent, brackets[2]))
   }
   text <- if (is.character(x)) {
      paste0("\"", gsub("\"", "\\\\\"", x), "\"")
   } else if (is.logical(x)) {
      ifelse(is.na(x), "null", ifelse(x, "true", "false"))
   } else {
      ifelse(is.na(x), "null", sprintf("%.17g", as.numeric(x)))
   }
   if (length(text) == 1L && !inherits(x, "AsIs")) text else paste0("[", paste(text, collapse = ", "), "]")
}

# ---- Data sets ------------------------------------------------------------------------------------------------------
# For each the call that makes yi and vi from a metadat data set.
calls <- list(
   bcg                = quote(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)),
   bcg_three          = quote(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg[1:3, ])),
   bcg_first_two      = quote(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg[c(1, 4), ])),
   normand1999        = quote(escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                     data = dat.normand1999)),
   normand1999_days   = quote(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                     data = dat.normand1999)),
   hackshaw1998       = quote(dat.hackshaw1998),
   raudenbush1985     = quote(dat.raudenbush1985),
   li2007             = quote(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.li2007)),
   collins1985b       = quote(escalc("OR", ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci,
                                     data = dat.collins1985b)),
   yusuf1985          = quote(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = yusuf)),
   nielweise2007      = quote(escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.nielweise2007)),
   nielweise2008      = quote(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = dat.nielweise2008)),
   molloy2014         = quote(escalc("ZCOR", ri = ri, ni = ni, data = dat.molloy2014)),
   linde2005          = quote(escalc("RR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.linde2005)),
   hine1989           = quote(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.hine1989)),
   hart1999           = quote(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = dat.hart1999)),
   bangertdrowns2004  = quote(dat.bangertdrowns2004),
   cohen1981          = quote(escalc("ZCOR", ri = ri, ni = ni, data = dat.cohen1981)),
   mcdaniel1994       = quote(escalc("ZCOR", ri = ri, ni = ni, data = dat.mcdaniel1994)),
   baskerville2012    = quote(escalc(yi = smd, sei = se, data = dat.baskerville2012)),
   alike              = quote(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.hine1989[c(1, 3, 4), ]))
)
yusuf <- na.omit(dat.yusuf1985[dat.yusuf1985$table == "6", c("ai", "n1i", "ci", "n2i")])

# ---- Random- and common-effect models: every estimator of tau2 x every interval -------------------------------------
methods <- c("REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS")
tests <- c("z", "t", "knha", "adhoc")
fit_calls <- list(
   random = paste("rma(yi, vi, method = <method>, test = <test>, control = list(threshold = <threshold>,",
                  "maxiter = 10000, tol = 1e-15, tau2.max = 1e4))"),
   prediction = "predict(<random>); columns pi_*_riley: predict(<random>, pi.type = \"riley\")",
   common = "rma(yi, vi, method = \"EE\", test = <test>)",
   q_profile = paste("confint(rma(yi, vi, method = \"DL\"), level = <level>,",
                     "control = list(tol = 1e-15, maxiter = 10000, tau2.max = 1e4))")
)

# The tightest threshold that the estimator's iteration meets; rounding keeps some from the first ones.
tight_fit <- function(yi, vi, method, test) {
   for (threshold in c(1e-15, 1e-14, 1e-13, 1e-12, 1e-11)) {
      control <- list(threshold = threshold, maxiter = 10000, tol = 1e-15, tau2.max = 1e4)
      fit <- try(rma(yi, vi, method = method, test = test, control = control), silent = TRUE)
      if (!inherits(fit, "try-error"))
         return(list(fit = fit, threshold = threshold))
   }
   stop("no threshold met: ", method)
}

columns <- c("method", "test", "threshold", "k", "estimate", "se", "ci_low", "ci_high", "p", "tau2", "i2", "h2",
             "q", "q_p", "pi_low", "pi_high", "pi_low_riley", "pi_high_riley")

one_fit <- function(yi, vi, method, test) {
   tight <- tight_fit(yi, vi, method, test)
   fit <- tight$fit
   prediction <- predict(fit)
   riley <- if (test == "z" && fit$k > 2) predict(fit, pi.type = "riley") else list(pi.lb = NA, pi.ub = NA)
   list(method, test, tight$threshold, fit$k, c(fit$beta), fit$se, fit$ci.lb, fit$ci.ub, fit$pval, fit$tau2, fit$I2,
        fit$H2, fit$QE, fit$QEp, prediction$pi.lb, prediction$pi.ub, riley$pi.lb, riley$pi.ub)
}

one_common <- function(yi, vi, test) {
   fit <- rma(yi, vi, method = "EE", test = test)
   list(test = test, estimate = c(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub, p = fit$pval,
        i2 = fit$I2, h2 = fit$H2, q = fit$QE, q_p = fit$QEp)
}

# Q-profile interval, which does not depend on the estimator of tau2.
one_profile <- function(yi, vi, level) {
   control <- list(tol = 1e-15, maxiter = 10000, tau2.max = 1e4)
   interval <- confint(rma(yi, vi, method = "DL"), level = level, control = control)
   list(level = level, tau2_low = interval$random[1, 2], tau2_high = interval$random[1, 3])
}

one_dataset <- function(name) {
   data <- eval(calls[[name]])
   keep <- !is.na(data$yi) & !is.na(data$vi)
   yi <- as.numeric(data$yi)[keep]
   vi <- as.numeric(data$vi)[keep]
   rows <- list()
   for (method in methods)
      for (test in tests)
         rows <- c(rows, list(one_fit(yi, vi, method, test)))
   list(call = paste(trimws(deparse(calls[[name]], width.cutoff = 500)), collapse = " "),
        yi = yi, vi = vi,
        q_profile = lapply(c(95, 90), one_profile, yi = yi, vi = vi),
        common = lapply(c("z", "t"), one_common, yi = yi, vi = vi),
        random = rows)
}

# ---- Effect sizes ---------------------------------------------------------------------------------------------------
# Counts chosen for their zeros: in one cell, in both arms, everybody, nobody, and none at all.
counts <- data.frame(ai = c(4, 7, 0, 10, 0, 5, 1, 0, 12, 3), n1i = c(8, 7, 10, 10, 25, 20, 40, 3, 12, 9),
                     ci = c(0, 2, 0, 12, 3, 5, 1, 2, 7, 3), n2i = c(4, 7, 12, 12, 15, 20, 10, 2, 12, 18))
means <- data.frame(m1i = c(10, -2.5, 0, 55.1, 3.2), sd1i = c(5, 1.25, 2, 22.8, 0.7), n1i = c(20, 2, 7, 46, 300),
                    m2i = c(14, 1.5, 0, 70.3, 3.1), sd2i = c(6, 2.5, 1, 20.2, 0.9), n2i = c(22, 2, 9, 44, 280))

one_escalc_counts <- function(measure, to) {
   e <- escalc(measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = counts, add = 1/2, to = to)
   list(call = sprintf("escalc(\"%s\", ai = ai, n1i = n1i, ci = ci, n2i = n2i, add = 1/2, to = \"%s\")", measure, to),
        measure = measure, to = to, yi = as.numeric(e$yi), vi = as.numeric(e$vi))
}

one_escalc_means <- function(measure, vtype) {
   e <- escalc(measure, m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = means,
               vtype = vtype)
   list(call = sprintf("escalc(\"%s\", m1i, sd1i, n1i, m2i, sd2i, n2i, vtype = \"%s\")", measure, vtype),
        measure = measure, vtype = vtype, yi = as.numeric(e$yi), vi = as.numeric(e$vi))
}

effect_sizes <- list(
   counts = as.list(counts),
   means = as.list(means),
   of_counts = unlist(lapply(c("only0", "all"), function(to) lapply(c("RR", "OR", "RD"), one_escalc_counts, to = to)),
                      recursive = FALSE),
   of_means = lapply(c("SMD", "MD"), one_escalc_means, vtype = "LS"),
   hedges_exact = list(call = "metafor:::.cmicalc(df)", df = c(2, 3, 5, 10, 18, 58, 100, 1000),
                       value = metafor:::.cmicalc(c(2, 3, 5, 10, 18, 58, 100, 1000)))
)

# ---- 2 x 2 tables ---------------------------------------------------------------------------------------------------
tables <- list(
   bcg = with(dat.bcg, data.frame(ai = tpos, n1i = tpos + tneg, ci = cpos, n2i = cpos + cneg)),
   li2007 = dat.li2007[, c("ai", "n1i", "ci", "n2i")],
   collins1985b = with(dat.collins1985b, data.frame(ai = pre.xti, n1i = pre.nti, ci = pre.xci, n2i = pre.nci)),
   yusuf1985 = yusuf,
   nielweise2007 = dat.nielweise2007[, c("ai", "n1i", "ci", "n2i")],
   hine1989 = dat.hine1989[, c("ai", "n1i", "ci", "n2i")],
   hahn2001 = dat.hahn2001[, c("ai", "n1i", "ci", "n2i")],
   zero_cells = counts
)

# drop00: whether tables in which nobody or everybody had the event are left out, of Q and of the estimate.
one_table_fit <- function(name, measure, drop00) {
   data <- tables[[name]]
   if (measure == "PETO") {
      fit <- suppressWarnings(rma.peto(ai = data$ai, n1i = data$n1i, ci = data$ci, n2i = data$n2i, drop00 = drop00))
      call <- "rma.peto(ai, n1i, ci, n2i, drop00 = <drop00>)"
   } else {
      fit <- suppressWarnings(rma.mh(measure = measure, ai = data$ai, n1i = data$n1i, ci = data$ci, n2i = data$n2i,
                                     drop00 = drop00))
      call <- "rma.mh(measure = <measure>, ai, n1i, ci, n2i, drop00 = <drop00>)"
   }
   list(tables = name, measure = measure, drop00 = I(drop00), call = call, k = fit$k, k_yi = fit$k.yi,
        estimate = c(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub, p = fit$pval, i2 = fit$I2,
        h2 = fit$H2, q = fit$QE, q_p = fit$QEp)
}

table_fits <- list()
for (name in names(tables)) {
   for (measure in c("RR", "OR", "PETO"))
      table_fits <- c(table_fits, list(one_table_fit(name, measure, c(TRUE, TRUE))))
   table_fits <- c(table_fits, list(one_table_fit(name, "RD", c(FALSE, FALSE))))
}
metafor_default <- one_table_fit("zero_cells", "RR", c(TRUE, FALSE))

# ---- Likelihoods with several maxima --------------------------------------------------------------------------------
# metafor climbs from Hedges' estimate. On these made-up data it stops below the highest maximum, which a search over a
# fine grid finds; the log-likelihoods of both are metafor's own.
several_maxima_data <- list(
   list(method = "REML", yi = c(-0.02, 4.942, 0.149, 3.198, -0.848, -2.591),
        vi = c(0.053, 2.626, 0.045, 1.21, 0.386, 47.109)),
   list(method = "REML", yi = c(0.398, 0.124, -2.243, -1.302, -5.838, -0.224),
        vi = c(0.044, 0.02, 5.165, 24.02, 3.4, 8.003)),
   list(method = "ML", yi = c(-0.535, 0.499, 0.562), vi = c(0.009, 1.736, 0.194))
)

one_several_maxima <- function(case) {
   fit <- tight_fit(case$yi, case$vi, case$method, "z")$fit
   log_likelihood <- function(tau2) as.numeric(logLik(rma(case$yi, case$vi, method = case$method, tau2 = tau2)))
   grid <- 10^seq(-4, 3, length.out = 701)
   best <- grid[which.max(vapply(grid, log_likelihood, 0))]
   highest <- optimize(log_likelihood, best * c(0.98, 1.02), maximum = TRUE, tol = 1e-10)
   c(case, list(tau2_metafor = fit$tau2, log_likelihood_metafor = log_likelihood(fit$tau2),
                tau2_highest = highest$maximum, log_likelihood_highest = highest$objective))
}

# ---- Write ----------------------------------------------------------------------------------------------------------
result <- list(
   made_by = "Rscript data/reference/make_reference.R",
   versions = list(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
                   metadat = as.character(packageVersion("metadat"))),
   calls = fit_calls,
   random_columns = columns,
   datasets = sapply(names(calls), one_dataset, simplify = FALSE),
   effect_sizes = effect_sizes,
   tables = lapply(tables, function(data) as.list(data)),
   table_fits = table_fits,
   metafor_keeps_full_tables = metafor_default,
   several_maxima = lapply(several_maxima_data, one_several_maxima)
)
writeLines(json(result), "data/reference/metafor.json")
