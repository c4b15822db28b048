"""The named tuples that reductions return."""

from collections import namedtuple

max = namedtuple("max", "values indices")
min = namedtuple("min", "values indices")
median = namedtuple("median", "values indices")
nanmedian = namedtuple("nanmedian", "values indices")
mode = namedtuple("mode", "values indices")
sort = namedtuple("sort", "values indices")
topk = namedtuple("topk", "values indices")
kthvalue = namedtuple("kthvalue", "values indices")
cummax = namedtuple("cummax", "values indices")
cummin = namedtuple("cummin", "values indices")
aminmax = namedtuple("aminmax", "min max")
