# Harms, bias and sample sizes, from metafor and from base R. The pools of harms are built here from data/extracted, not
# by the Python code under test.

# ---- Single tables --------------------------------------------------------------------------------------------------
# The first eight are of the trials; the others have full cells and larger numbers.
singles <- data.frame(ai = c(5, 0, 3, 0, 18, 24, 8, 1, 56, 9, 10, 4),
                      n1i = c(53, 53, 46, 46, 53, 46, 53, 4, 70, 10, 10, 4),
                      ci = c(2, 0, 5, 1, 21, 5, 0, 0, 48, 3, 0, 0),
                      n2i = c(51, 51, 44, 44, 51, 44, 51, 2, 80, 10, 20, 2))

# Score intervals by brute force: the likelihood is maximised numerically under the difference or ratio, and the score
# is followed until it is 1.96.
score <- function(t, value, ratio) {
   a <- t$ai; n <- t$n1i; c <- t$ci; m <- t$n2i
   active <- if (ratio) function(p) value * p else function(p) p + value
   ends <- if (ratio) c(0, min(1, 1 / value)) else c(max(0, -value), min(1, 1 - value))
   term <- function(count, p) if (count == 0) 0 else count * log(p)
   minus <- function(p) -(term(a, active(p)) + term(n - a, 1 - active(p)) + term(c, p) + term(m - c, 1 - p))
   p <- optimize(minus, ends, tol = 1e-13)$minimum
   # optimize() never looks at the ends themselves
   candidates <- c(ends, p)
   values <- suppressWarnings(vapply(candidates, minus, 0))
   values[is.nan(values)] <- Inf
   p <- candidates[which.min(values)]
   q <- active(p)
   v <- if (ratio) q * (1 - q) / n + value^2 * p * (1 - p) / m else q * (1 - q) / n + p * (1 - p) / m
   gap <- if (ratio) a / n - value * c / m else a / n - c / m - value
   gap / sqrt(max(v, 1e-300) * (n + m) / (n + m - 1))
}
z <- qnorm(0.975)
one_score <- function(t, ratio) {
   estimate <- if (ratio) (t$ai / t$n1i) / (t$ci / t$n2i) else t$ai / t$n1i - t$ci / t$n2i
   find <- function(wanted, from, to) {
      f <- if (ratio) function(x) score(t, exp(x), TRUE) - wanted else function(x) score(t, x, FALSE) - wanted
      if (f(from) * f(to) > 0) return(NA)
      uniroot(f, c(from, to), tol = 1e-13)$root
   }
   if (!ratio) {
      low <- find(z, -1 + 1e-9, estimate - 1e-9); high <- find(-z, estimate + 1e-9, 1 - 1e-9)
   } else {
      low <- if (t$ai == 0) -Inf else find(z, log(1e-6), log(1e6))
      high <- if (t$ci == 0) Inf else find(-z, log(1e-6), log(1e6))
      low <- exp(low); high <- exp(high)
   }
   list(estimate = estimate, low = low, high = high)
}

one_odds <- function(t) {
   total <- t$ai + t$ci
   if (total == 0 || total == t$n1i + t$n2i)
      return(list(estimate = NA, low = 0, high = Inf, midp_low = 0, midp_high = Inf))
   fisher <- fisher.test(matrix(c(t$ai, t$ci, t$n1i - t$ai, t$n2i - t$ci), 2))
   support <- max(0, total - t$n2i):min(t$n1i, total)
   # fisher.test() stops its search early (1e-4 and worse for the limits), so the limits are searched for here, to the
   # last digits; `share` is the part of the observed table that counts.
   above <- function(log_or, share) {
      d <- dhyper(support, t$n1i, t$n2i, total, log = TRUE) + support * log_or
      d <- exp(d - max(d)); d <- d / sum(d)
      sum(d[support > t$ai]) + share * sum(d[support == t$ai])
   }
   find <- function(tail, share) {
      f <- function(x) above(x, share) - tail
      if (f(-18) * f(18) > 0) return(if (f(-18) > 0) 0 else Inf)
      exp(uniroot(f, c(-18, 18), tol = 1e-14)$root)
   }
   exact <- c(if (t$ai == min(support)) 0 else find(0.025, 1), if (t$ai == max(support)) Inf else find(0.975, 0))
   stopifnot(all(abs(exact / fisher$conf.int - 1) < 0.01 | exact == fisher$conf.int))
   list(estimate = unname(fisher$estimate), low = exact[1], high = exact[2], midp_low = find(0.025, 0.5),
        midp_high = find(0.975, 0.5))
}

# Exact power of the two-sided score test, all tables enumerated one by one.
power_of <- function(p1, n1, p2, n2) {
   total <- 0
   for (a in 0:n1) for (c in 0:n2) {
      p <- (a + c) / (n1 + n2)
      stat <- (a / n1 - c / n2) / sqrt(p * (1 - p) * (1 / n1 + 1 / n2) * (n1 + n2) / (n1 + n2 - 1))
      if (!is.nan(stat) && stat > z) total <- total + dbinom(a, n1, p1) * dbinom(c, n2, p2)
   }
   total
}
powers <- data.frame(p1 = c(0.2, 0.1, 0.5, 0.9), n1 = c(53, 53, 20, 4),
                     p2 = c(2 / 51, 0, 0.3, 0), n2 = c(51, 51, 10, 2))

per_single <- lapply(seq_len(nrow(singles)), function(i) {
   t <- singles[i, ]
   ratio <- if (t$ai + t$ci == 0) list(estimate = NA, low = 0, high = Inf) else one_score(t, TRUE)
   list(ai = t$ai, n1i = t$n1i, ci = t$ci, n2i = t$n2i, difference = one_score(t, FALSE), ratio = ratio,
        odds = one_odds(t))
})

# ---- Pools of harms, from the extracted tables ----------------------------------------------------------------------
harms <- extracted("harms")
arms <- extracted("arms")
harms <- merge(harms, arms[, c("arm_id", "role")], by = "arm_id")
whole <- c("treatment period", "study", "not stated, probably the whole trial")
harms$period <- ifelse(harms$window %in% whole, "whole trial", harms$window)
harms <- harms[harms$use == "used" & harms$unit == "participants" & harms$randomised_comparison == "true" &
               harms$role %in% c("active", "control"), ]

tables_of <- function(kind, term, period) {
   rows <- harms[harms$kind == kind & harms$term == term & harms$period == period, ]
   found <- NULL
   for (trial in c("MP-8", "MP-12", "MAPP1", "MAPP2", "MP-4")) {
      here <- rows[rows$trial_id == trial, ]
      everybody <- arms$arm_id[arms$trial_id == trial & arms$role %in% c("active", "control")]
      if (!setequal(here$arm_id, everybody)) next
      active <- here$role == "active"
      found <- rbind(found, data.frame(trial = trial, ai = sum(here$events[active]), n1i = sum(here$n[active]),
                                       ci = sum(here$events[!active]), n2i = sum(here$n[!active])))
   }
   found
}
fitted <- function(fit) list(k = fit$k, estimate = c(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub,
                             p = fit$pval, tau2 = if (is.null(fit$tau2)) 0 else fit$tau2)
one_pool <- function(kind, term, period) {
   t <- tables_of(kind, term, period)
   mh <- function(measure) suppressWarnings(rma.mh(ai = t$ai, n1i = t$n1i, ci = t$ci, n2i = t$n2i, measure = measure))
   re <- function(measure) rma(ai = t$ai, n1i = t$n1i, ci = t$ci, n2i = t$n2i, measure = measure, method = "REML",
                               test = "adhoc", control = list(threshold = 1e-14, maxiter = 10000))
   list(kind = kind, term = term, period = period, trials = I(t$trial), ai = I(t$ai), n1i = I(t$n1i), ci = I(t$ci),
        n2i = I(t$n2i), rd_mh = fitted(mh("RD")), rr_mh = fitted(mh("RR")),
        or_peto = fitted(rma.peto(ai = t$ai, n1i = t$n1i, ci = t$ci, n2i = t$n2i)), rd_random = fitted(re("RD")),
        rr_random = fitted(re("RR")))
}
pools <- list(one_pool("adverse_event", "nausea", "whole trial"),
              one_pool("adverse_event", "muscle tightness", "whole trial"),
              one_pool("adverse_event", "decreased appetite", "whole trial"),
              one_pool("adverse_event", "hyperhidrosis", "whole trial"),
              one_pool("adverse_event", "anxiety", "whole trial"),
              one_pool("reaction", "anxiety", "dosing session"),
              one_pool("reaction", "headache", "dosing session"))

# ---- Additive bias, and two groups of trials ------------------------------------------------------------------------
normand <- escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = dat.normand1999)
tight <- list(threshold = 1e-14, maxiter = 10000, tol = 1e-15)
one_bias <- function(mean, sd) {
   fit <- rma(yi - mean, vi + sd^2, data = normand, method = "REML", test = "adhoc", control = tight)
   c(list(bias_mean = mean, bias_sd = sd), fitted(fit))
}
group <- c(1, 0, 0, 1, 1, 0, 0, 1, 0)
by_group <- rma(yi, vi, mods = ~ group, data = normand, method = "REML", test = "t", control = tight)
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
allocated <- as.numeric(dat.bcg$alloc == "random")
by_allocation <- rma(yi, vi, mods = ~ allocated, data = bcg, method = "REML", test = "t", control = tight)
one_group <- function(data, which, fit) list(yi = I(as.numeric(data$yi)), vi = I(as.numeric(data$vi)), group = I(which),
                                             estimate = fit$beta[2, 1], se = fit$se[2], p = fit$pval[2],
                                             ci_low = fit$ci.lb[2], ci_high = fit$ci.ub[2], tau2 = fit$tau2)

# ---- All of it ------------------------------------------------------------------------------------------------------
reference <- function() list(
   calls = list(difference = "likelihood maximised by optimize() under the difference, score followed by uniroot()",
                ratio = "the same under the ratio",
                odds = "estimate by fisher.test(); limits by uniroot() on tails of dhyper() weighted by odds^x",
                power = "sum over all tables of dbinom() where the score test shows more events in the active arm",
                pools = "rma.mh(measure = RD, RR), rma.peto(), rma(measure = RD, RR, method = REML, test = adhoc)",
                bias = "rma(yi - bias_mean, vi + bias_sd^2, method = REML, test = adhoc) on dat.normand1999",
                groups = "rma(yi, vi, mods = ~ group, method = REML, test = t)",
                sizes = "power.t.test(delta = 0.2, power = 0.8)$n; power.prop.test(p1, 0.75 p1, power = 0.8)$n"),
   singles = per_single,
   powers = lapply(seq_len(nrow(powers)), function(i) c(as.list(powers[i, ]),
                                                        list(power = do.call(power_of, unname(as.list(powers[i, ])))))),
   shares = lapply(list(c(0, 53), c(0, 20), c(5, 53), c(4, 4)), function(x) {
      ci <- binom.test(x[1], x[2])$conf.int
      list(events = x[1], n = x[2], low = ci[1], high = ci[2])
   }),
   pools = pools,
   bias = list(yi = I(as.numeric(normand$yi)), vi = I(as.numeric(normand$vi)),
               fits = list(one_bias(0, 0), one_bias(-0.3, 0), one_bias(-0.3, 0.2), one_bias(0.1, 0.5))),
   groups = list(one_group(normand, group, by_group), one_group(bcg, allocated, by_allocation)),
   sizes = list(smd_0.2 = power.t.test(delta = 0.2, power = 0.8)$n,
                props = lapply(c(0.04, 0.14, 0.452), function(p)
                   list(p1 = p, n = power.prop.test(p1 = p, p2 = 0.75 * p, power = 0.8)$n)))
)
