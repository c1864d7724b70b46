# Diagnostics: leave-one-out, cumulative, influence, Baujat, GOSH, tests of small-study effects, trim-and-fill,
# meta-regression and permutation tests.

# ---- Fits -----------------------------------------------------------------------------------------------------------
# metafor's iterations run to the tightest threshold at which nothing in the result is missing: functions that refit
# the model give NA where a refit does not meet its threshold, which rounding keeps some from. Thousands of refits start
# at a looser one, to save time.
tight <- function(use, yi, vi, method, test, design = cbind(rep(1, length(yi))), many = FALSE, ...) {
   for (threshold in c(if (!many) c(1e-15, 1e-14, 1e-13), 1e-12, 1e-11, 1e-10) * max(1, var(yi))) {
      control <- list(threshold = threshold, maxiter = 2000, tol = 1e-15, tau2.max = 1e4)
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
   list(estimate = x$estimate, se = x$se, ci_low = x$ci.lb, ci_high = x$ci.ub, p = c(x[["pval"]], x[["pvals"]]),
        q = x$Q, q_p = x$Qp, tau2 = if (is.null(x$tau2)) 0 * x$se else x$tau2, i2 = x$I2, h2 = x$H2)
}

influences <- function(x) {
   found <- influence(x)
   inf <- unclass(found$inf)
   list(rstudent = inf$rstudent, dffits = inf$dffits, cooks_distance = inf$cook.d, covariance_ratio = inf$cov.r,
        tau2_deleted = inf$tau2.del, q_deleted = inf$QE.del, hat = inf$hat, weight = inf$weight,
        dfbetas = found$dfbs$intrcpt, influential = unname(found$is.infl))
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
   list(k0 = fit$k0, se = fit$se.k0, side = fit$side, p = if (estimator == "R0") fit$p.k0, yi = as.numeric(fit$yi),
        vi = as.numeric(fit$vi), estimate = c(fit$beta), pool_se = fit$se, tau2 = fit$tau2)
}

slope_test <- function(x, model, predictor, ni) {
   test <- if (is.null(ni)) regtest(x, model = model, predictor = predictor)
           else regtest(x, model = model, predictor = predictor, ni = ni)
   list(model = model, predictor = predictor, statistic = test$zval, p = test$pval,
        df = if (!is.na(test$ddf)) test$ddf, tau2 = if (model == "rma") test$fit$tau2,
        slope = unname(coef(test$fit)[2]), limit = unname(test$est), limit_low = test$ci.lb, limit_high = test$ci.ub)
}

# ---- Data sets ------------------------------------------------------------------------------------------------------
names_here <- c("bcg", "bcg_three", "bcg_first_two", "alike", "hart1999", "normand1999", "normand1999_days",
                "raudenbush1985", "cohen1981", "yusuf1985", "hackshaw1998", "bangertdrowns2004")

one_dataset <- function(name) {
   data <- effects_of(name)
   yi <- data$yi
   vi <- data$vi
   ni <- data$ni
   k <- length(yi)

   models <- list(c("REML", "z"), c("REML", "knha"), c("DL", "adhoc"), c("EE", "z"))
   each <- function(use, models, ...) lapply(models, function(m) {
      c(list(method = m[1], test = m[2]), tight(use, yi, vi, m[1], m[2], ...))
   })
   result <- list(call = call_text(datasets[[name]]),
                  yi = yi, vi = vi, ni = ni,
                  leave_one_out = each(function(x) pools(leave1out(x)), models),
                  cumulative = each(function(x) pools(cumul(x)), models[3:4]),
                  influence = each(influences, models),
                  baujat = each(baujats, models))
   if (k < 3)
      return(result)

   rank <- suppressWarnings(ranktest(yi, vi))
   result$rank <- list(tau = unname(rank$tau), p = unname(rank$pval))
   predictors <- c("sei", "vi", if (!is.null(ni)) c("ni", "ninv", "sqrtni", "sqrtninv"))
   one_slope <- function(method, test, model, predictor) {
      c(list(method = method, test = test),
        tight(slope_test, yi, vi, method, test, model = model, predictor = predictor, ni = ni))
   }
   result$egger <- c(lapply(predictors, one_slope, method = "REML", test = "z", model = "lm"),
                     lapply(predictors, one_slope, method = "REML", test = "z", model = "rma"))
   for (m in list(c("REML", "adhoc"), c("DL", "t"), c("PM", "knha"), c("ML", "z")))
      result$egger <- c(result$egger, list(one_slope(m[1], m[2], "rma", "sei")))
   if (k > 3)
      for (estimator in c("L0", "R0"))
         for (m in models[c(1, 4)])
            for (side in list(NULL, "left", "right")) {
               control <- list(threshold = 1e-12 * max(1, var(yi)), maxiter = 2000, tol = 1e-15,
                               tau2.max = 1e4)
               fit <- rma(yi, vi, method = m[1], control = control)
               found <- suppressWarnings(trimmed(fit, estimator, side, control))
               asked <- list(method = m[1], estimator = estimator, asked = if (is.null(side)) "" else side)
               result$trim_and_fill <- c(result$trim_and_fill, list(c(asked, found)))
            }
   result
}

# ---- GOSH -----------------------------------------------------------------------------------------------------------
# All subsets of small sets; of dat.bcg's 8191 the means over the subsets of each size.
one_gosh <- function(name, method, by_size) {
   data <- effects_of(name)
   columns <- c("k", "QE", "I2", "H2", "tau2", "estimate")
   pool_subsets <- function(x) as.data.frame(gosh(x, progbar = FALSE)$res)[columns]
   res <- tight(pool_subsets, data$yi, data$vi, method, "z", many = TRUE)
   if (by_size)
      res <- aggregate(res, by = list(res$k), FUN = mean)[columns]
   list(data = name, method = method, mean_by_size = by_size, subsets = as.list(res))
}

# ---- Meta-regression ------------------------------------------------------------------------------------------------
bangert <- function() na.omit(dat.bangertdrowns2004[c("yi", "vi", "length", "wic", "feedback", "meta")])
regressions <- list(
   bcg_latitude       = list(data = datasets$bcg, mods = quote(~ ablat)),
   bcg_two            = list(data = datasets$bcg, mods = quote(~ ablat + year)),
   bcg_allocation     = list(data = datasets$bcg, mods = quote(~ factor(alloc))),
   bcg_no_intercept   = list(data = datasets$bcg, mods = quote(~ 0 + factor(alloc))),
   bcg_intercept      = list(data = datasets$bcg, mods = quote(~ 1)),
   bcg_three          = list(data = datasets$bcg_three, mods = quote(~ ablat)),
   hart_year          = list(data = datasets$hart1999, mods = quote(~ year)),
   raudenbush_weeks   = list(data = quote(dat.raudenbush1985), mods = quote(~ weeks)),
   raudenbush_capped  = list(data = quote(dat.raudenbush1985), mods = quote(~ pmin(weeks, 3) + setting + tester)),
   cohen_size         = list(data = datasets$cohen1981, mods = quote(~ sqrt(ni))),
   days_source        = list(data = datasets$normand1999_days, mods = quote(~ I(n1i > 50) + n2i)),
   bangert_four       = list(data = quote(bangert()), mods = quote(~ length + wic + feedback + meta))
)

one_regression <- function(name) {
   data <- eval(regressions[[name]]$data)
   design <- model.matrix(eval(regressions[[name]]$mods), data)
   yi <- as.numeric(data$yi)
   vi <- as.numeric(data$vi)
   describe <- function(x) {
      list(beta = I(c(x$beta)), se = I(x$se), ci_low = I(x$ci.lb), ci_high = I(x$ci.ub), p = I(x$pval),
           vb = unname(x$vb), tau2 = x$tau2, r2 = x$R2, i2 = x$I2, h2 = x$H2, qe = x$QE, qe_p = x$QEp, qm = x$QM,
           qm_df = x$QMdf[1], qm_p = x$QMp)
   }
   fits <- list()
   for (method in c("REML", "ML", "DL", "PM", "EB", "HE", "SJ", "HS"))
      for (test in if (method == "REML") c("z", "t", "knha", "adhoc") else "knha") {
         fit <- tight(describe, yi, vi, method, test, design)
         fits <- c(fits, list(c(list(method = method, test = test), fit)))
      }
   list(call = call_text(regressions[[name]]$data, regressions[[name]]$mods),
        yi = yi, vi = vi, design = unname(design), fits = fits)
}

# A line through zero. For tau2, QE and what follows from them metafor centres the effects first, which changes them
# where no combination of the columns is constant; its log-likelihood, and lm(), take the effects as they are.
no_constant <- function() {
   data <- eval(datasets$bcg)
   yi <- as.numeric(data$yi)
   vi <- as.numeric(data$vi)
   design <- cbind(data$ablat)
   fit <- function(...) rma(yi, vi, mods = design, intercept = FALSE, control = list(threshold = 1e-12), ...)
   log_likelihood <- function(tau2) as.numeric(logLik(fit(tau2 = tau2)))
   highest <- optimize(log_likelihood, c(0, 1), maximum = TRUE, tol = 1e-10)
   list(yi = yi, vi = vi, design = design,
        tau2_metafor = fit()$tau2, log_likelihood_metafor = log_likelihood(fit()$tau2),
        tau2_highest = highest$maximum, log_likelihood_highest = highest$objective, qe_metafor = fit()$QE,
        qe_lm = deviance(lm(yi ~ 0 + design, weights = 1 / vi)))
}

# ---- Permutation tests ----------------------------------------------------------------------------------------------
permutations <- list(
   list(data = datasets$hart1999, mods = quote(~ 1), method = "REML", test = "z"),
   list(data = datasets$hart1999, mods = quote(~ 1), method = "REML", test = "knha"),
   list(data = datasets$hart1999, mods = quote(~ 1), method = "REML", test = "z", alternative = "less"),
   list(data = datasets$bcg_three, mods = quote(~ 1), method = "DL", test = "adhoc"),
   list(data = datasets$normand1999, mods = quote(~ 1), method = "REML", test = "z"),
   list(data = datasets$normand1999, mods = quote(~ 1), method = "DL", test = "t", alternative = "greater"),
   list(data = datasets$bcg, mods = quote(~ 1), method = "DL", test = "z"),
   list(data = datasets$hart1999, mods = quote(~ year), method = "REML", test = "knha"),
   list(data = datasets$hart1999, mods = quote(~ year), method = "ML", test = "z", alternative = "greater"),
   list(data = quote(escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg[1:6, ])),
        mods = quote(~ ablat + year), method = "REML", test = "z"),
   list(data = datasets$bcg, mods = quote(~ I(alloc == "random")), method = "REML", test = "adhoc"),
   list(data = datasets$bcg, mods = quote(~ 0 + factor(alloc == "random")), method = "PM",
        test = "z")
)

one_permutation <- function(case) {
   data <- eval(case$data)
   design <- model.matrix(eval(case$mods), data)
   alternative <- if (is.null(case$alternative)) "two.sided" else case$alternative
   run <- function(x) {
      test <- permutest(x, exact = TRUE, progbar = FALSE, control = list(alternative = alternative))
      distribution <- lapply(unclass(test$zval.perm), function(z) quantile(z, 0:20 / 20, names = FALSE, type = 1))
      list(n = length(test$QM.perm), p = I(test$pval), qm_p = test$QMp, quantiles = unname(distribution))
   }
   found <- tight(run, as.numeric(data$yi), as.numeric(data$vi), case$method, case$test, design, many = TRUE)
   c(list(call = call_text(case$data, case$mods), yi = as.numeric(data$yi),
          vi = as.numeric(data$vi), design = unname(design), method = case$method, test = case$test,
          alternative = alternative), found)
}

# ---- All of it ------------------------------------------------------------------------------------------------------
calls <- list(
   fit = paste("x <- rma(yi, vi, mods = <design>, intercept = FALSE, method = <method>, test = <test>,",
               "control = list(threshold = <tightest met>, maxiter = 2000, tol = 1e-15, tau2.max = 1e4))"),
   leave_one_out = "leave1out(x)", cumulative = "cumul(x)", influence = "influence(x)", baujat = "baujat(x)",
   rank = "ranktest(yi, vi)", egger = "regtest(x, model = <model>, predictor = <predictor>)",
   trim_and_fill = "trimfill(x, estimator = <estimator>, side = <asked>)",
   gosh = "gosh(x)", meta_regression = "x",
   no_constant = paste("rma(yi, vi, mods = <design>, intercept = FALSE, tau2 = <tau2>); highest: optimize() on its",
                       "logLik(); qe_lm: deviance(lm(yi ~ 0 + <design>, weights = 1/vi))"),
   permutation = paste("permutest(x, exact = TRUE, control = list(alternative = <alternative>));",
                       "quantile(zval.perm, 0:20/20, type = 1)")
)

reference <- function() {
   list(calls = calls,
        datasets = sapply(names_here, one_dataset, simplify = FALSE),
        gosh = list(one_gosh("hart1999", "REML", FALSE), one_gosh("normand1999", "REML", FALSE),
                    one_gosh("bcg", "REML", TRUE), one_gosh("bcg", "EE", TRUE)),
        meta_regression = sapply(names(regressions), one_regression, simplify = FALSE),
        no_constant = no_constant(),
        permutation = lapply(permutations, one_permutation))
}
