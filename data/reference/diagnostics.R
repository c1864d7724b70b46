# Reference numbers for the diagnostics: leave-one-out, cumulative, influence, Baujat, GOSH, tests of small-study effects,
# trim-and-fill, meta-regression and permutation tests. Program: metafor, on data of the metadat package.
#
#   Rscript data/reference/diagnostics.R        writes metafor_diagnostics.json beside this file (about two minutes)
#   source("diagnostics.R")                     only defines diagnostics_reference(), which returns the list
#
# The inputs stand beside the results, so that the tests need no R. No time, no path, no random number is in the file.

suppressMessages(library(metafor))

# ---- Fits -----------------------------------------------------------------------------------------------------------
# metafor's iterations run to the tightest threshold at which nothing in the result is missing: functions that refit the
# model give NA where a refit does not meet its threshold, which rounding keeps some from.
tight <- function(use, yi, vi, method, test, design = cbind(rep(1, length(yi))), ...) {
   for (threshold in c(1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)) {
      control <- list(threshold = threshold, maxiter = 10000, tol = 1e-15, tau2.max = 1e4)
      result <- try(suppressWarnings(
         use(rma(yi, vi, mods = design, intercept = FALSE, method = method, test = test, control = control), ...)),
         silent = TRUE)
      if (!inherits(result, "try-error") && !anyNA(result, recursive = TRUE))
         return(result)
   }
   stop("no threshold met: ", method, " ", test)
}

pools <- function(x) {
   x <- unclass(x)
   list(estimate = x$estimate, se = x$se, ci_low = x$ci.lb, ci_high = x$ci.ub, p = c(x[["pval"]], x[["pvals"]]), q = x$Q, q_p = x$Qp,
        tau2 = if (is.null(x$tau2)) 0 * x$se else x$tau2, i2 = x$I2, h2 = x$H2)
}

influences <- function(x) {
   found <- influence(x)
   columns <- unclass(found$inf)[c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del", "hat", "weight")]
   names(columns) <- c("rstudent", "dffits", "cooks_distance", "covariance_ratio", "tau2_deleted", "q_deleted", "hat", "weight")
   c(columns, list(dfbetas = found$dfbs$intrcpt, influential = unname(found$is.infl)))
}

# baujat() computes what it draws; the drawing goes nowhere.
baujats <- function(x) {
   grDevices::pdf(NULL)
   on.exit(grDevices::dev.off())
   found <- baujat(x)
   list(heterogeneity = found$x, influence = found$y)
}

trimmed <- function(x, estimator, side, control) {
   fit <- trimfill(x, estimator = estimator, side = side, control = control)
   list(k0 = fit$k0, se = fit$se.k0, side = fit$side, p = if (estimator == "R0") fit$p.k0 else -1, yi = as.numeric(fit$yi),
        vi = as.numeric(fit$vi), estimate = c(fit$beta), pool_se = fit$se, tau2 = fit$tau2)
}

slope_test <- function(x, model, predictor, ni) {
   test <- if (is.null(ni)) regtest(x, model = model, predictor = predictor)
           else regtest(x, model = model, predictor = predictor, ni = ni)
   has_limit <- !is.null(test$est)
   list(model = model, predictor = predictor, statistic = test$zval, p = test$pval,
        df = if (is.na(test$ddf)) -1 else test$ddf, tau2 = if (model == "rma") test$fit$tau2 else -1,
        slope = unname(coef(test$fit)[2]), limit = if (has_limit) unname(test$est) else -1,
        limit_low = if (has_limit) test$ci.lb else -1, limit_high = if (has_limit) test$ci.ub else -1, has_limit = has_limit)
}

# ---- Data sets ------------------------------------------------------------------------------------------------------
risk_ratios <- function(data) escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = data)
data_calls <- list(
   bcg                = quote(risk_ratios(dat.bcg)),
   bcg_three          = quote(risk_ratios(dat.bcg[1:3, ])),
   bcg_two            = quote(risk_ratios(dat.bcg[c(1, 4), ])),
   alike              = quote(escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.hine1989[c(1, 3, 4), ])),
   hart1999           = quote(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = dat.hart1999)),
   normand1999        = quote(escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                     data = dat.normand1999)),
   normand1999_days   = quote(escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                                     data = dat.normand1999)),
   raudenbush1985     = quote(dat.raudenbush1985),
   cohen1981          = quote(escalc("ZCOR", ri = ri, ni = ni, data = dat.cohen1981)),
   yusuf1985          = quote(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = na.omit(
                                     dat.yusuf1985[dat.yusuf1985$table == "6", c("ai", "n1i", "ci", "n2i")]))),
   hackshaw1998       = quote(dat.hackshaw1998),
   bangertdrowns2004  = quote(dat.bangertdrowns2004)
)

one_dataset <- function(name) {
   data <- eval(data_calls[[name]])
   keep <- !is.na(data$yi) & !is.na(data$vi)
   yi <- as.numeric(data$yi)[keep]
   vi <- as.numeric(data$vi)[keep]
   ni <- attr(data$yi, "ni")[keep]
   k <- length(yi)

   models <- list(c("REML", "z"), c("REML", "knha"), c("REML", "adhoc"), c("DL", "z"), c("PM", "t"), c("EE", "z"))
   each <- function(use, models, ...) lapply(models, function(m) {
      c(list(method = m[1], test = m[2]), tight(use, yi, vi, m[1], m[2], ...))
   })
   random_or_common <- models[c(1, 6)]
   result <- list(call = paste(trimws(deparse(data_calls[[name]], width.cutoff = 500)), collapse = " "),
                  yi = yi, vi = vi, ni = ni,
                  leave_one_out = each(function(x) pools(leave1out(x)), models),
                  cumulative = each(function(x) pools(cumul(x)), models),
                  influence = each(influences, models),
                  baujat = each(baujats, models))
   if (k < 3)
      return(result)

   rank <- suppressWarnings(ranktest(yi, vi))
   result$rank <- list(tau = unname(rank$tau), p = unname(rank$pval))
   predictors <- c("sei", "vi", if (!is.null(ni)) c("ni", "ninv", "sqrtni", "sqrtninv"))
   result$egger <- c(
      lapply(predictors, function(p) c(list(method = "REML", test = "z"),
                                       tight(slope_test, yi, vi, "REML", "z", model = "lm", predictor = p, ni = ni))),
      lapply(predictors, function(p) c(list(method = "REML", test = "z"),
                                       tight(slope_test, yi, vi, "REML", "z", model = "rma", predictor = p, ni = ni))),
      lapply(models[2:5], function(m) c(list(method = m[1], test = m[2]),
                                        tight(slope_test, yi, vi, m[1], m[2], model = "rma", predictor = "sei", ni = ni))))
   if (k > 3)
      for (estimator in c("L0", "R0"))
         for (m in random_or_common)
            for (side in list(NULL, "left", "right")) {
               control <- list(threshold = 1e-12, maxiter = 10000, tol = 1e-15, tau2.max = 1e4)
               found <- trimmed(rma(yi, vi, method = m[1], control = control), estimator, side, control)
               asked <- list(method = m[1], estimator = estimator, asked = if (is.null(side)) "" else side)
               result$trim_and_fill <- c(result$trim_and_fill, list(c(asked, found)))
            }
   result
}

# ---- GOSH -----------------------------------------------------------------------------------------------------------
# All subsets of small sets; of dat.bcg's 8191 the means over the subsets of each size.
one_gosh <- function(name, method, by_size) {
   data <- eval(data_calls[[name]])
   columns <- c("k", "QE", "I2", "H2", "tau2", "estimate")
   res <- tight(function(x) as.data.frame(gosh(x, progbar = FALSE)$res)[columns], as.numeric(data$yi), as.numeric(data$vi),
                method, "z")
   if (by_size)
      res <- aggregate(res, by = list(res$k), FUN = mean)[columns]
   list(data = name, method = method, mean_by_size = by_size, subsets = as.list(res))
}

# ---- Meta-regression ------------------------------------------------------------------------------------------------
bangert <- function() na.omit(dat.bangertdrowns2004[c("yi", "vi", "length", "wic", "feedback", "meta")])
regressions <- list(
   bcg_latitude       = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ ablat)),
   bcg_two            = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ ablat + year)),
   bcg_allocation     = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ factor(alloc))),
   bcg_no_intercept   = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ 0 + factor(alloc))),
   bcg_through_zero   = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ 0 + ablat)),
   bcg_intercept      = list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ 1)),
   bcg_three          = list(data = quote(risk_ratios(dat.bcg[1:3, ])), mods = quote(~ ablat)),
   hart_year          = list(data = data_calls$hart1999, mods = quote(~ year)),
   raudenbush_weeks   = list(data = quote(dat.raudenbush1985), mods = quote(~ weeks)),
   raudenbush_capped  = list(data = quote(dat.raudenbush1985), mods = quote(~ pmin(weeks, 3) + setting + tester)),
   cohen_size         = list(data = data_calls$cohen1981, mods = quote(~ sqrt(ni))),
   days_source        = list(data = data_calls$normand1999_days, mods = quote(~ I(n1i > 50) + n2i)),
   bangert_four       = list(data = quote(bangert()), mods = quote(~ length + wic + feedback + meta))
)

one_regression <- function(name) {
   data <- eval(regressions[[name]]$data)
   design <- model.matrix(eval(regressions[[name]]$mods), data)
   yi <- as.numeric(data$yi)
   vi <- as.numeric(data$vi)
   describe <- function(x) {
      list(beta = I(c(x$beta)), se = I(x$se), ci_low = I(x$ci.lb), ci_high = I(x$ci.ub), p = I(x$pval), vb = unname(x$vb),
           tau2 = x$tau2, r2 = if (is.null(x$R2)) -1 else x$R2, i2 = x$I2, h2 = x$H2, qe = x$QE, qe_p = x$QEp, qm = x$QM,
           qm_df = x$QMdf[1], qm_p = x$QMp)
   }
   fits <- list()
   for (method in c("REML", "ML", "DL", "PM", "EB", "HE", "SJ", "HS"))
      for (test in c("z", "t", "knha", "adhoc")) {
         fit <- tight(describe, yi, vi, method, test, design = design)
         fits <- c(fits, list(c(list(method = method, test = test), fit)))
      }
   list(call = paste(c(deparse(regressions[[name]]$data), deparse(regressions[[name]]$mods)), collapse = " "),
        yi = yi, vi = vi, design = unname(design), fits = fits)
}

# ---- Permutation tests ----------------------------------------------------------------------------------------------
permutations <- list(
   list(data = data_calls$hart1999, mods = quote(~ 1), method = "REML", test = "z"),
   list(data = data_calls$hart1999, mods = quote(~ 1), method = "REML", test = "knha"),
   list(data = data_calls$hart1999, mods = quote(~ 1), method = "REML", test = "z", alternative = "less"),
   list(data = data_calls$bcg_three, mods = quote(~ 1), method = "DL", test = "adhoc"),
   list(data = data_calls$normand1999, mods = quote(~ 1), method = "REML", test = "z"),
   list(data = data_calls$normand1999, mods = quote(~ 1), method = "DL", test = "t", alternative = "greater"),
   list(data = data_calls$bcg, mods = quote(~ 1), method = "DL", test = "z"),
   list(data = data_calls$hart1999, mods = quote(~ year), method = "REML", test = "knha"),
   list(data = data_calls$hart1999, mods = quote(~ year), method = "ML", test = "z", alternative = "greater"),
   list(data = quote(risk_ratios(dat.bcg[1:6, ])), mods = quote(~ ablat + year), method = "REML", test = "z"),
   list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ I(alloc == "random")), method = "REML", test = "adhoc"),
   list(data = quote(risk_ratios(dat.bcg)), mods = quote(~ 0 + I(alloc == "random") + I(alloc != "random")), method = "PM",
        test = "z")
)

one_permutation <- function(case) {
   data <- eval(case$data)
   design <- model.matrix(eval(case$mods), data)
   if (ncol(design) == 4)
      design <- design[, c(2, 4)]
   alternative <- if (is.null(case$alternative)) "two.sided" else case$alternative
   run <- function(x) {
      test <- permutest(x, exact = TRUE, progbar = FALSE, control = list(alternative = alternative))
      distribution <- lapply(unclass(test$zval.perm), function(z) quantile(z, 0:20 / 20, names = FALSE, type = 1))
      list(n = length(test$QM.perm), p = I(test$pval), qm_p = test$QMp, quantiles = unname(distribution))
   }
   found <- tight(run, as.numeric(data$yi), as.numeric(data$vi), case$method, case$test, design = design)
   c(list(call = paste(c(deparse(case$data), deparse(case$mods)), collapse = " "), yi = as.numeric(data$yi),
          vi = as.numeric(data$vi), design = unname(design), method = case$method, test = case$test,
          alternative = alternative), found)
}

# ---- All of it ------------------------------------------------------------------------------------------------------
calls <- list(
   fit = paste("x <- rma(yi, vi, mods = <design>, intercept = FALSE, method = <method>, test = <test>,",
               "control = list(threshold = <tightest met>, maxiter = 10000, tol = 1e-15, tau2.max = 1e4))"),
   leave_one_out = "leave1out(x)", cumulative = "cumul(x)", influence = "influence(x)", baujat = "baujat(x)",
   rank = "ranktest(yi, vi)", egger = "regtest(x, model = <model>, predictor = <predictor>); -1 where there is no value",
   trim_and_fill = "trimfill(x, estimator = <estimator>, side = <asked>); p is -1 for L0",
   gosh = "gosh(x)", meta_regression = "x; r2 is -1 where there is none",
   permutation = "permutest(x, exact = TRUE, control = list(alternative = <alternative>)); quantiles 0:20/20 of type 1"
)

diagnostics_reference <- function() {
   list(made_by = "Rscript data/reference/diagnostics.R",
        versions = list(R = as.character(getRversion()), metafor = as.character(packageVersion("metafor")),
                        metadat = as.character(packageVersion("metadat"))),
        calls = calls,
        datasets = sapply(names(data_calls), one_dataset, simplify = FALSE),
        gosh = list(one_gosh("hart1999", "REML", FALSE), one_gosh("normand1999", "DL", FALSE),
                    one_gosh("normand1999", "REML", FALSE), one_gosh("bcg", "REML", TRUE), one_gosh("bcg", "EE", TRUE)),
        meta_regression = sapply(names(regressions), one_regression, simplify = FALSE),
        permutation = lapply(permutations, one_permutation))
}

# Run directly (not sourced): write the file beside the script.
if (sys.nframe() == 0L) {
   script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
   jsonlite::write_json(diagnostics_reference(), file.path(dirname(script), "metafor_diagnostics.json"), digits = I(17),
                        auto_unbox = TRUE, null = "null", na = "null", pretty = 1)
}
