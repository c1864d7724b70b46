# Multilevel (correlated-and-hierarchical-effects) models and their cluster-robust errors: metafor's rma.mv, vcalc,
# robust and confint, and clubSandwich's vcovCR and coef_test.

# rma.mv searches sigma2 numerically: several of its optimisers are tried and the highest likelihood is kept. A
# component that ends at (numerically) zero is then held at exactly zero, which the search on the log scale cannot reach.
fit_rma_mv <- function(model) {
   controls <- list(list(),
                   list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-16, maxit = 10000),
                   list(optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-16, maxit = 10000),
                   list(optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-14, maxit = 10000))
   search <- function(sigma2) {
      fits <- lapply(controls, function(control) {
         tryCatch(suppressWarnings(rma_mv(model, sigma2 = sigma2, control = control)), error = function(e) NULL)
      })
      fits <- Filter(Negate(is.null), fits)
      fits[[which.max(vapply(fits, function(fit) as.numeric(logLik(fit)), 0))]]
   }
   free <- search(c(NA, NA))
   at_zero <- free$sigma2 < 1e-6
   if (any(at_zero)) search(ifelse(at_zero, 0, NA)) else free
}

# `~ 1` among the moderators is the intercept-only model; formulas are evaluated in the model's own data frame.
rma_mv <- function(model, ...) {
   rma.mv(yi, V = model$V, mods = model$mods, random = ~ 1 | cluster/effect, data = model$data, ...)
}

interval <- function(fit) {
   prediction <- if (fit$int.only) predict(fit) else list()
   list(df = if (is.na(fit$ddf[1])) NULL else fit$ddf[1], p = fit$pval, ci_low = fit$ci.lb, ci_high = fit$ci.ub,
       pi_low = prediction$pi.lb, pi_high = prediction$pi.ub)
}

clubsandwich <- function(fit, cluster) {
   vcov <- vcovCR(fit, cluster = cluster, type = "CR2")
   tests <- coef_test(fit, vcov = vcov, test = "Satterthwaite")
   list(vcov = matrix(as.vector(vcov), nrow(vcov)), se = tests$SE, df = tests$df, p = tests$p_Satt)
}

plain_sandwich <- function(fit, cluster) {
   vcov <- vcovCR(fit, cluster = cluster, type = "CR1")
   robust_fit <- robust(fit, cluster = cluster, adjust = TRUE, clubSandwich = FALSE)
   list(cr1_vcov = matrix(as.vector(vcov), nrow(vcov)),
       metafor_robust = list(se = robust_fit$se, df = robust_fit$dfs, p = robust_fit$pval,
                             ci_low = robust_fit$ci.lb, ci_high = robust_fit$ci.ub))
}

one_model <- function(model) {
   searched <- fit_rma_mv(model)
   with_test <- function(...) suppressWarnings(rma_mv(model, sigma2 = searched$sigma2, ...))
   fit <- with_test(test = "z")
   held <- rma_mv(model, sigma2 = c(0.05, 0.02))          # no search: the formulas alone
   cluster <- model$data$cluster
   list(data = model$data_name, rho = model$rho, average_variances = isTRUE(model$average),
       V = if (isTRUE(model$store_V)) model$V else NULL, design = unname(fit$X),
       sigma2 = fit$sigma2, beta = as.vector(fit$beta), se = fit$se, log_likelihood = as.numeric(logLik(fit)),
       q = fit$QE, q_df = fit$k - fit$p, q_p = fit$QEp, wald = interval(fit),
       t_residual = interval(with_test(test = "t")),
       t_contain = if (fit$int.only) interval(with_test(test = "t", dfs = "contain")) else NULL,
       held = list(sigma2 = held$sigma2, beta = as.vector(held$beta), vb = unname(held$vb),
                   log_likelihood = as.numeric(logLik(held))),
       cr1 = plain_sandwich(fit, cluster), cr2 = clubsandwich(fit, cluster))
}

# Profile likelihood: the intervals of confint() and the log-likelihood with one component held at four values.
profile_of <- function(model) {
   fit <- fit_rma_mv(model)
   bounds <- confint(fit, control = list(tol = 1e-10))
   held <- c(0, 0.02, 0.1, 0.5)
   likelihood <- function(sigma2) as.numeric(logLik(suppressWarnings(rma_mv(model, sigma2 = sigma2))))
   list(between = unname(bounds[[1]]$random[1, 2:3]), within = unname(bounds[[2]]$random[1, 2:3]), held = held,
       between_log_likelihood = vapply(held, function(x) likelihood(c(x, NA)), 0),
       within_log_likelihood = vapply(held, function(x) likelihood(c(NA, x)), 0))
}

# Log risk ratios of arms that share one control group: the covariance of two of them is the variance of log(control
# risk). Trials without placebo and arms where nobody or everybody had the event (escalc would correct them) are left out.
shared_control_risk_ratios <- function() {
   arms <- subset(metadat::dat.baker2009, exac > 0 & exac < total)
   control <- arms[arms$treatment == "Placebo", ]
   active <- arms[arms$treatment != "Placebo" & arms$id %in% control$id, ]
   control <- control[match(active$id, control$id), ]
   effects <- escalc(measure = "RR", ai = active$exac, n1i = active$total, ci = control$exac, n2i = control$total)
   V <- outer(active$id, active$id, "==") * (1 / control$exac - 1 / control$total)
   diag(V) <- effects$vi
   list(data = data.frame(yi = as.vector(effects$yi), vi = effects$vi, cluster = active$id,
                          effect = seq_len(nrow(active)), events_active = active$exac, n_active = active$total,
                          events_control = control$exac, n_control = control$total), V = V)
}

# ---- All of it ------------------------------------------------------------------------------------------------------
calls <- list(
   V = "vcalc(vi, cluster = cluster, obs = effect, rho = <rho>); with average_variances, of each cluster's mean vi",
   fit = "x <- rma.mv(yi, V, mods = <design>, random = ~ 1 | cluster/effect), the best of four optimisers",
   held = "rma.mv(sigma2 = <sigma2>)",
   wald = "test = \"z\"; predict(x)", t_residual = "test = \"t\"; predict(x)",
   t_contain = "test = \"t\", dfs = \"contain\"; predict(x)",
   cr1 = "vcovCR(x, cluster, type = \"CR1\"); robust(x, cluster, adjust = TRUE, clubSandwich = FALSE)",
   cr2 = "vcovCR(x, cluster, type = \"CR2\"); coef_test(x, vcov, test = \"Satterthwaite\")",
   profile = "confint(x, control = list(tol = 1e-10)); logLik() of rma.mv(sigma2 = c(<held>, NA) or c(NA, <held>))"
)

reference <- function() {
   table <- function(source, cluster, columns = character()) {
      data <- data.frame(yi = as.vector(source$yi), vi = source$vi, cluster = as.integer(factor(source[[cluster]])),
                         effect = seq_len(nrow(source)))
      cbind(data, as.data.frame(source)[columns])
   }
   baker <- shared_control_risk_ratios()
   data <- list(assink2016 = table(metadat::dat.assink2016, "study", c("year", "pubstatus")),
                konstantopoulos2011 = table(metadat::dat.konstantopoulos2011, "district", "year"),
                knapp2017 = table(metadat::dat.knapp2017, "study", "year"),
                begg1989 = table(metadat::dat.begg1989, "study"),
                berkey1998 = table(metadat::dat.berkey1998, "trial"),
                baker2009 = baker$data)
   correlated <- function(name, rho, mods = ~ 1, average = FALSE) {
      frame <- data[[name]]
      v <- if (average) ave(frame$vi, frame$cluster) else frame$vi
      list(data_name = name, data = frame, rho = rho, average = average, mods = mods,
           V = vcalc(v, cluster = frame$cluster, obs = frame$effect, rho = rho))
   }
   whole <- function(name, V) list(data_name = name, data = data[[name]], mods = ~ 1, V = V, store_V = TRUE)

   models <- list()
   for (name in c("assink2016", "konstantopoulos2011", "knapp2017", "begg1989"))
      for (rho in c(0, 0.2, 0.6, 0.8))
         models[[sprintf("%s rho %.1f", name, rho)]] <- correlated(name, rho)
   models[["assink2016 averaged rho 0.6"]] <- correlated("assink2016", 0.6, average = TRUE)
   models[["assink2016 moderators rho 0.6"]] <- correlated("assink2016", 0.6, ~ year + pubstatus)
   models[["konstantopoulos2011 year rho 0.6"]] <- correlated("konstantopoulos2011", 0.6, ~ I(year - 1990))
   models[["knapp2017 year rho 0.8"]] <- correlated("knapp2017", 0.8, ~ I(year - 2010))
   models[["berkey1998 whole V"]] <- whole("berkey1998", vcalc(vi = 1, cluster = trial, rvars = c(v1i, v2i),
                                                              data = metadat::dat.berkey1998))
   models[["baker2009 whole V"]] <- whole("baker2009", baker$V)

   list(calls = calls, data = data, models = lapply(models, one_model),
        profile = profile_of(models[["konstantopoulos2011 rho 0.6"]]))
}
