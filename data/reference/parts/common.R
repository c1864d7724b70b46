# What the parts share: data sets of the metadat package, the tables of data/extracted, JSON, and versions.

suppressMessages({library(metafor); library(clubSandwich)})

# ---- Data sets ------------------------------------------------------------------------------------------------------
# For each the call that makes yi and vi from a metadat data set.
datasets <- list(
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
   yusuf1985          = quote(escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = na.omit(
                                     dat.yusuf1985[dat.yusuf1985$table == "6", c("ai", "n1i", "ci", "n2i")]))),
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

call_text <- function(...) paste(trimws(unlist(lapply(list(...), deparse, width.cutoff = 500))), collapse = " ")

# Effects, variances and, where known, sizes of the studies that have an effect.
effects_of <- function(name) {
   data <- eval(datasets[[name]])
   keep <- !is.na(data$yi) & !is.na(data$vi)
   list(yi = as.numeric(data$yi)[keep], vi = as.numeric(data$vi)[keep], ni = attr(data$yi, "ni")[keep])
}

# ---- Our own trials -------------------------------------------------------------------------------------------------
extracted <- function(name) read.csv(file.path(root, "data/extracted", paste0(name, ".csv")), stringsAsFactors = FALSE)

# ---- JSON, with 17 significant digits: enough to give every double back exactly -------------------------------------
# Vectors of length 1 become scalars unless wrapped in I(), matrices lists of rows; NULL, NA and NaN become null, and an
# infinite value 1e999, which JSON readers take as infinity. Lists of single values take one line.
json <- function(x, indent = "") {
   if (is.null(x))
      return("null")
   if (is.matrix(x))
      x <- lapply(seq_len(nrow(x)), function(i) I(unname(x[i, ])))
   if (is.list(x)) {
      short <- !any(vapply(x, function(item) is.list(item) || is.matrix(item) || length(item) > 2L, NA))
      deeper <- if (short) "" else paste0(indent, " ")
      items <- vapply(x, json, "", indent = deeper)
      if (!is.null(names(x)))
         items <- paste0("\"", names(x), "\": ", items)
      brackets <- if (is.null(names(x))) c("[", "]") else c("{", "}")
      if (short)
         return(paste0(brackets[1], paste(items, collapse = ", "), brackets[2]))
      return(paste0(brackets[1], "\n", paste0(deeper, items, collapse = ",\n"), "\n", indent, brackets[2]))
   }
   text <- if (is.character(x)) paste0("\"", gsub("\"", "\\\\\"", x), "\"")
           else if (is.logical(x)) ifelse(x, "true", "false")
           else sprintf("%.17g", as.numeric(x))
   text[is.na(x)] <- "null"
   text <- sub("^(-?)Inf$", "\\11e999", text)
   if (length(text) == 1L && !inherits(x, "AsIs")) text else paste0("[", paste(text, collapse = ", "), "]")
}

versions <- function(packages) c(
   list(R = as.character(getRversion())),
   sapply(packages, function(package) as.character(packageVersion(package)), simplify = FALSE)
)
