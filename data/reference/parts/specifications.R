# Some specifications of the curve in notebook 05, worked out again from the extracted tables by metafor. Nothing of the
# Python code is used: arms are put together, standard deviations imputed and counts changed here, and escalc and rma do
# the rest. An id is family/level/level/..., as in notebooks/meta_analysis/choices_severity.py and choices_events.py.
# Ratios are on their natural scale, tau2 on the log.

trials <- extracted("trials"); arms <- extracted("arms"); times <- extracted("timepoints")
scores <- extracted("continuous_outcomes"); events <- extracted("event_outcomes"); people <- extracted("participants")
sides <- arms$arm_id[arms$role %in% c("active", "control")]
scores <- scores[scores$outcome == "ptsd_severity" & scores$arm_id %in% sides, ]
control_ <- list(threshold = 1e-12, maxiter = 10000, tol = 1e-14)

# ---- Arms ------------------------------------------------------------------------------------------------------------
value <- function(arm, time, statistic, column = "value", use = "used", conflict = NULL) {
   rows <- scores[scores$arm_id == arm & scores$timepoint_id == time, ]
   rows <- rows[rows$statistic == statistic & rows$use == use, ]
   if (!is.null(conflict)) rows <- rows[rows$conflict_id == conflict, ]
   if (nrow(rows) == 0) NA else rows[[column]][1]
}

time_of <- function(trial, choice) {  # the time point of a trial under a choice
   rows <- times[times$trial_id == trial & times$post_crossover == "false", ]
   if (choice == "primary") return(rows$timepoint_id[rows$is_primary == "true"][1])
   rows <- rows[!is.na(rows$sessions_so_far) & rows$sessions_so_far == 2 & !is.na(rows$days_since_baseline), ]
   if (nrow(rows) == 0) return(NA)
   pick <- if (choice == "two_first") which.min else which.max
   rows$timepoint_id[pick(rows$days_since_baseline)]
}

modified <- function(arm) {
   rows <- people[people$arm_id == arm & people$stage == "modified_intention_to_treat" & people$use == "used", ]
   if (nrow(rows)) rows$n[1] else NA
}

# n, mean, sd of one arm; NA where it is not known
group <- function(arm, trial, ch) {
   time <- time_of(trial, ch$time)
   if (is.na(time)) return(rep(NA_real_, 3))
   base <- paste0(trial, ":baseline")
   if (ch$score == "endpoint") {
      n <- value(arm, time, "mean", "n"); m <- value(arm, time, "mean"); s <- value(arm, time, "sd")
   } else {
      n <- value(arm, time, "mean_change", "n"); m <- value(arm, time, "mean_change")
      s <- value(arm, time, "sd_change")
      if (ch$mp2 == "printed" && arm == "MP-2:25mg") {
         n <- value(arm, time, "mean_change", "n", "set_aside")
         m <- value(arm, time, "mean_change", "value", "set_aside")
         s <- value(arm, time, "sd_change", "value", "set_aside")
      }
      if (ch$people == "modified" && trial == "MAPP2") {
         s <- value(arm, time, "sd_change", "value", "set_aside", "mapp2_denominators")
         n <- value(arm, time, "sd_change", "n", "set_aside", "mapp2_denominators")
      }
      if (is.na(m)) { m <- value(arm, time, "mean") - value(arm, base, "mean"); n <- value(arm, time, "mean", "n") }
      r <- c(change_r30 = 0.3, change_r50 = 0.5, change_r70 = 0.7)[ch$score]
      if (is.na(s) && !is.na(r)) {
         sb <- value(arm, base, "sd"); se <- value(arm, time, "sd")
         s <- sqrt(sb^2 + se^2 - 2 * r * sb * se)
      }
   }
   if (ch$people == "randomised") n <- arms$n_randomised[arms$arm_id == arm]
   if (ch$people == "modified" && !is.na(modified(arm))) n <- modified(arm)
   as.numeric(c(n, m, s))
}

merge_groups <- function(a, b) {  # Cochrane Handbook 6.5.2.10
   n <- a[1] + b[1]
   c(n, (a[1] * a[2] + b[1] * b[2]) / n,
     sqrt(((a[1] - 1) * a[3]^2 + (b[1] - 1) * b[3]^2 + a[1] * b[1] / n * (a[2] - b[2])^2) / (n - 1)))
}

active_arms <- function(trial) {  # the highest dose first
   rows <- arms[arms$trial_id == trial & arms$role == "active", ]
   rows$arm_id[order(rows$high_dose != "true")]
}
control_arm <- function(trial) arms$arm_id[arms$trial_id == trial & arms$role == "control"][1]

# ---- Sets of trials --------------------------------------------------------------------------------------------------
six <- trials$trial_id[trials$in_primary == "true"]
of <- function(test) six[six %in% trials$trial_id[which(test)]]
sets <- list(all = six, phase_2 = of(trials$phase == 2), phase_3 = of(trials$phase == 3),
             placebo = of(trials$control_kind == "placebo"), low_dose = of(trials$control_kind == "low_dose"),
             to_2021 = of(trials$year <= 2021), two_doses = of(trials$blinded_sessions == 2),
             low_risk = setdiff(six, "MP-1"), n20 = setdiff(six, "MP-2"))

# ---- Severity --------------------------------------------------------------------------------------------------------
standardised <- function(rows, measure) {
   if (measure %in% c("hedges", "glass")) {
      es <- escalc(if (measure == "glass") "SMD1" else "SMD", m1i = m1, sd1i = s1, n1i = n1,
                   m2i = m2, sd2i = s2, n2i = n2, data = rows)
      rows$yi <- as.numeric(es$yi); rows$vi <- as.numeric(es$vi)
      return(rows)
   }
   N <- rows$n1 + rows$n2
   sp <- sqrt(((rows$n1 - 1) * rows$s1^2 + (rows$n2 - 1) * rows$s2^2) / (N - 2))
   d <- (rows$m1 - rows$m2) / sp
   g <- d * (1 - 3 / (4 * N - 9))
   rows$yi <- if (measure == "cohen") d else g
   rows$vi <- if (measure == "review_manager") N / (rows$n1 * rows$n2) + g^2 / (2 * (N - 3.94)) else
      N / (rows$n1 * rows$n2) + d^2 / (2 * N)
   rows
}

severity_rows <- function(ch) {
   rows <- NULL
   for (trial in sets[[ch$trials]]) {
      act <- lapply(active_arms(trial), group, trial, ch)
      act <- act[!vapply(act, anyNA, NA)]
      con <- group(control_arm(trial), trial, ch)
      if (!length(act) || anyNA(con)) next
      if (ch$arms == "combined" && length(act) == 2) act <- list(merge_groups(act[[1]], act[[2]]))
      if (ch$arms == "high_dose") act <- act[1]
      if (ch$arms == "lower_dose") act <- act[length(act)]
      if (ch$arms == "split") con[1] <- con[1] / length(act)
      for (a in act)
         rows <- rbind(rows, data.frame(trial = trial, n1 = a[1], m1 = a[2], s1 = a[3],
                                        n2 = con[1], m2 = con[2], s2 = con[3]))
   }
   if (ch$mp9 != "out") {
      n <- as.numeric(strsplit(ch$mp9, "+", fixed = TRUE)[[1]])
      at <- "MP-9:month_2"
      rows <- rbind(rows, data.frame(trial = "MP-9", n1 = n[1], m1 = value("MP-9:125mg", at, "mean_change"),
                                     s1 = value("MP-9:125mg", at, "sd_change"), n2 = n[2],
                                     m2 = value("MP-9:25mg", at, "mean_change"),
                                     s2 = value("MP-9:25mg", at, "sd_change")))
   }
   standardised(rows, ch$measure)
}

test_of <- c(Wald = "z", t = "t", HK = "knha", mHK = "adhoc")
fit <- function(yi, vi, model, interval) {
   if (model == "common") return(rma(yi, vi, method = "EE"))
   rma(yi, vi, method = model, test = test_of[[interval]], control = control_)
}

severity <- function(id) {
   level <- strsplit(id, "/")[[1]][-1]
   names(level) <- c("trials", "mp9", "arms", "score", "mp2", "time", "people", "measure", "model", "interval")
   ch <- as.list(level)
   rows <- severity_rows(ch)
   if (ch$arms == "shared") {  # one multivariate model, trials sharing their random part
      V <- diag(rows$vi)
      for (i in seq_len(nrow(rows))) for (j in seq_len(nrow(rows))) if (i != j && rows$trial[i] == rows$trial[j])
         V[i, j] <- 1 / rows$n2[i] + rows$yi[i] * rows$yi[j] * rows$n2[i] /
            (2 * (rows$n1[i] + rows$n2[i]) * (rows$n1[j] + rows$n2[j]))
      res <- rma.mv(yi, V, random = ~ 1 | trial, data = rows, method = ch$model,
                    control = list(optimizer = "optim", optmethod = "BFGS", reltol = 1e-14))
      return(list(id = id, k = length(unique(rows$trial)), estimate = c(res$beta), ci_low = res$ci.lb,
                  ci_high = res$ci.ub, tau2 = res$sigma2))
   }
   res <- fit(rows$yi, rows$vi, ch$model, ch$interval)
   list(id = id, k = res$k, estimate = c(res$beta), ci_low = res$ci.lb, ci_high = res$ci.ub, tau2 = res$tau2)
}

# ---- Events ----------------------------------------------------------------------------------------------------------
counted <- function(arm, time, outcome) {
   rows <- events[events$arm_id == arm & events$timepoint_id == time & events$outcome == outcome, ]
   rows <- rows[rows$use == "used", ]
   if (nrow(rows) == 0 || is.na(rows$events[1])) return(c(NA, NA))
   c(rows$events[1], rows$n[1])
}

other <- function(conflict) unlist(events[events$conflict_id == conflict & events$use == "set_aside", c("events", "n")])

event_time <- function(trial, outcome, choice) {  # the primary time, or the last before crossover that has counts
   if (choice != "primary") return(time_of(trial, choice))
   at <- events$timepoint_id[events$trial_id == trial & events$outcome == outcome & events$use == "used"]
   rows <- times[times$timepoint_id %in% at & times$post_crossover == "false", ]
   if (nrow(rows) == 0) return(NA)
   if (any(rows$is_primary == "true")) rows$timepoint_id[rows$is_primary == "true"][1] else
      rows$timepoint_id[which.max(rows$days_since_baseline)]
}

event_rows <- function(ch, outcomes) {
   rows <- NULL
   for (trial in sets[[ch$trials]]) for (outcome in outcomes) {
      if (!is.null(rows) && trial %in% rows$trial) next
      time <- event_time(trial, outcome, ch$time)
      if (is.na(time)) next
      all_arms <- c(active_arms(trial), control_arm(trial))
      x <- lapply(all_arms, counted, time, outcome)
      if (any(vapply(x, anyNA, NA))) next
      names(x) <- all_arms
      if (identical(ch$mapp1, "from_average") && trial == "MAPP1" && ch$time == "primary")
         x[["MAPP1:placebo"]] <- other("mapp1_placebo_responders")
      if (identical(ch$mp12, "repository") && trial == "MP-12" && ch$time == "primary")
         x[["MP-12:100mg"]] <- other("mp12_100mg_loss")
      p0 <- x[[control_arm(trial)]][1] / x[[control_arm(trial)]][2]
      for (arm in all_arms) {
         n <- x[[arm]][2]; full <- max(arms$n_randomised[arms$arm_id == arm], n, na.rm = TRUE)
         if (ch$people == "randomised") x[[arm]][2] <- full
         if (ch$people == "modified" && !is.na(modified(arm))) x[[arm]][2] <- max(modified(arm), n)
         if (ch$people == "control_risk") x[[arm]] <- c(x[[arm]][1] + (full - n) * p0, full)
      }
      act <- x[active_arms(trial)]; con <- x[[control_arm(trial)]]
      if (ch$arms == "combined") act <- list(Reduce(`+`, act))
      if (ch$arms == "high_dose") act <- act[1]
      if (ch$arms == "lower_dose") act <- act[length(act)]
      if (ch$arms == "split") con <- con / length(act)
      for (a in act) rows <- rbind(rows, data.frame(trial = trial, ai = a[1], n1i = a[2], ci = con[1], n2i = con[2]))
   }
   if (ch$measure == "failure") { rows$ai <- rows$n1i - rows$ai; rows$ci <- rows$n2i - rows$ci }
   rows
}

event_effects <- function(rows, measure, zero) {
   if (measure == "failure") measure <- "RR"
   add <- switch(zero, always = "all", only_zero = "only0", "none")
   if (measure == "RD") add <- "none"
   if (zero == "events_and_totals" && measure != "RD") {
      hit <- rows$ai == 0 | rows$ci == 0
      rows[hit, c("ai", "n1i", "ci", "n2i")] <- rows[hit, c("ai", "n1i", "ci", "n2i")] + 0.5
   }
   if (zero == "treatment_arm" && measure != "RD") {
      hit <- rows$ai == 0 | rows$ci == 0 | rows$ai == rows$n1i | rows$ci == rows$n2i
      N <- rows$n1i + rows$n2i; k1 <- rows$n1i / N; k2 <- rows$n2i / N
      rows$ai <- rows$ai + hit * k1; rows$n1i <- rows$n1i + 2 * hit * k1
      rows$ci <- rows$ci + hit * k2; rows$n2i <- rows$n2i + 2 * hit * k2
   }
   es <- suppressWarnings(escalc(measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = rows, add = 1 / 2, to = add))
   rows$yi <- as.numeric(es$yi); rows$vi <- as.numeric(es$vi)
   rows[is.finite(rows$yi) & is.finite(rows$vi) & rows$vi > 0, ]
}

as_ratio <- function(x, measure, p) switch(measure, RR = exp(x), OR = exp(x) / (1 - p * (1 - exp(x))),
                                           RD = pmax((p + x) / p, 0), failure = pmax((1 - p * exp(x)) / (1 - p), 0))

event <- function(id, choices, outcomes_of) {
   level <- strsplit(id, "/")[[1]][-1]
   ch <- as.list(setNames(level, choices))
   rows <- event_effects(event_rows(ch, outcomes_of(ch)), ch$measure, ch$zero)
   p <- sum(rows$ci) / sum(rows$n2i)
   two <- list(ai = rows$ai, n1i = rows$n1i, ci = rows$ci, n2i = rows$n2i)
   mh <- if (ch$measure == "failure") "RR" else ch$measure
   res <- if (ch$model == "MH") do.call(rma.mh, c(two, measure = mh)) else
      if (ch$model == "peto") do.call(rma.peto, two) else fit(rows$yi, rows$vi, ch$model, ch$interval)
   x <- as_ratio(c(res$beta, res$ci.lb, res$ci.ub), ch$measure, p)
   tau2 <- if (is.null(res$tau2)) 0 else res$tau2
   list(id = id, k = nrow(rows), estimate = x[1], ci_low = min(x[2:3]), ci_high = max(x[2:3]), tau2 = tau2)
}

own <- c("time", "people", "measure", "zero", "model", "interval")
response <- function(id) event(id, c("trials", "arms", "mapp1", own), function(ch) "response")
remission <- function(id) event(id, c("trials", "arms", "definition", "mp12", own), function(ch)
   switch(ch$definition, loss = "loss_of_diagnosis", strict = "remission", mixed = c("remission", "loss_of_diagnosis")))

# ---- The specifications ----------------------------------------------------------------------------------------------
ids <- c(
   "severity/all/out/combined/endpoint/means/primary/analysed/hedges/REML/mHK",
   "severity/all/out/combined/endpoint/means/primary/analysed/review_manager/DL/Wald",
   "severity/all/out/high_dose/endpoint/means/primary/analysed/metapsy/REML/HK",
   "severity/phase_2/out/lower_dose/endpoint/means/primary/analysed/hedges/PM/HK",
   "severity/all/out/split/endpoint/means/primary/analysed/hedges/REML/mHK",
   "severity/phase_2/out/shared/endpoint/means/primary/analysed/hedges/REML/Wald",
   "severity/phase_2/out/shared/change_r50/means/primary/analysed/hedges/ML/Wald",
   "severity/all/out/combined/change_printed/printed/primary/analysed/hedges/DL/t",
   "severity/all/out/combined/change_printed/means/primary/modified/hedges/REML/HK",
   "severity/all/out/combined/change_r50/means/primary/analysed/hedges/REML/mHK",
   "severity/all/5+3/combined/change_r50/means/primary/analysed/hedges/REML/mHK",
   "severity/low_dose/2+6/high_dose/change_r30/printed/primary/analysed/cohen/SJ/HK",
   "severity/two_doses/6+2/lower_dose/change_r70/means/primary/randomised/review_manager/HE/t",
   "severity/all/out/combined/endpoint/means/two_first/analysed/hedges/REML/t",
   "severity/phase_2/out/combined/endpoint/means/two_last/analysed/hedges/HE/Wald",
   "severity/all/out/combined/endpoint/means/primary/analysed/glass/REML/HK",
   "severity/phase_2/out/split/endpoint/means/primary/analysed/glass/DL/mHK",
   "severity/all/out/combined/endpoint/means/primary/randomised/cohen/SJ/Wald",
   "severity/to_2021/out/combined/endpoint/means/primary/randomised/metapsy/ML/t",
   "severity/placebo/out/combined/endpoint/means/primary/modified/hedges/HS/HK",
   "severity/phase_2/out/combined/endpoint/means/primary/analysed/hedges/common/Wald",
   "response/all/combined/as_printed/primary/analysed/RR/only_zero/REML/mHK",
   "response/all/combined/as_printed/primary/analysed/RR/only_zero/MH/Wald",
   "response/low_risk/high_dose/as_printed/primary/analysed/RR/events_and_totals/PM/HK",
   "response/all/combined/as_printed/primary/analysed/OR/only_zero/DL/Wald",
   "response/all/combined/as_printed/primary/analysed/OR/only_zero/peto/Wald",
   "response/all/combined/as_printed/primary/analysed/OR/only_zero/MH/Wald",
   "response/all/combined/as_printed/primary/analysed/RD/only_zero/REML/HK",
   "response/all/combined/as_printed/primary/analysed/failure/only_zero/REML/HK",
   "response/phase_2/split/as_printed/primary/analysed/failure/always/SJ/t",
   "response/all/combined/from_average/primary/analysed/RR/treatment_arm/HE/mHK",
   "response/all/combined/as_printed/primary/randomised/RR/none/ML/t",
   "response/n20/lower_dose/as_printed/primary/randomised/RR/only_zero/REML/HK",
   "response/all/combined/as_printed/primary/modified/RR/always/HS/Wald",
   "response/all/combined/as_printed/primary/control_risk/RR/only_zero/common/Wald",
   "response/all/split/as_printed/two_first/control_risk/OR/always/DL/HK",
   "remission/all/combined/loss/dataset/primary/analysed/RR/only_zero/REML/mHK",
   "remission/all/combined/loss/repository/primary/randomised/OR/only_zero/DL/HK",
   "remission/all/combined/strict/dataset/primary/analysed/RR/only_zero/REML/Wald",
   "remission/low_risk/high_dose/mixed/dataset/primary/analysed/RR/only_zero/PM/HK",
   "remission/all/split/mixed/repository/primary/modified/RD/only_zero/SJ/mHK",
   "remission/to_2021/lower_dose/mixed/dataset/two_first/control_risk/failure/always/REML/t"
)

calls <- list(
   effects = "escalc(<measure>), measure SMD, SMD1, RR, OR or RD; cohen, metapsy, review_manager by their formulas",
   model = "rma(yi, vi, method = <model>, test = <interval>); common: method = EE; MH: rma.mh(); peto: rma.peto()",
   shared = "rma.mv(yi, V, random = ~ 1 | trial, method = <model>), V with the covariance of a shared control arm"
)
reference <- function() {
   list(calls = calls, specifications = lapply(ids, function(id) get(strsplit(id, "/")[[1]][1])(id)))
}
