# Pooling and effect sizes: rma, escalc, rma.mh and rma.peto.

# ---- Random- and common-effect models: every estimator of tau2 x every interval -------------------------------------
methods <- c("REML", "DL", "PM", "ML", "EB", "HE", "SJ", "HS")
tests <- c("z", "t", "knha", "adhoc")
calls <- list(
   random = paste("rma(yi, vi, method = <method>, test = <test>, control = list(threshold = <threshold>,",
                  "maxiter = 10000, tol = 1e-15, tau2.max = 1e4))"),
   prediction = "predict(<random>); columns pi_*_riley: predict(<random>, pi.type = \"riley\")",
   given = "rma(yi, vi, tau2 = <tau2>, test = <test>)",
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

# A tau2 that is given, not estimated.
one_given <- function(yi, vi, tau2, test) {
   fit <- rma(yi, vi, tau2 = tau2, test = test)
   prediction <- predict(fit)
   list(tau2 = tau2, test = test, estimate = c(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub,
        p = fit$pval, i2 = fit$I2, h2 = fit$H2, q = fit$QE, pi_low = prediction$pi.lb, pi_high = prediction$pi.ub)
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
   data <- effects_of(name)
   yi <- data$yi
   vi <- data$vi
   given <- list()
   for (tau2 in c(0, 0.3))
      for (test in tests)
         given <- c(given, list(one_given(yi, vi, tau2, test)))
   rows <- list()
   for (method in methods)
      for (test in tests)
         rows <- c(rows, list(one_fit(yi, vi, method, test)))
   list(call = call_text(datasets[[name]]),
        yi = yi, vi = vi,
        q_profile = lapply(c(95, 90), one_profile, yi = yi, vi = vi),
        given = given,
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
   yusuf1985 = na.omit(dat.yusuf1985[dat.yusuf1985$table == "6", c("ai", "n1i", "ci", "n2i")]),
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

# ---- All of it ------------------------------------------------------------------------------------------------------
reference <- function() {
   list(calls = calls,
        random_columns = columns,
        datasets = sapply(names(datasets), one_dataset, simplify = FALSE),
        effect_sizes = effect_sizes,
        tables = lapply(tables, as.list),
        table_fits = table_fits,
        metafor_keeps_full_tables = metafor_default,
        several_maxima = lapply(several_maxima_data, one_several_maxima))
}
