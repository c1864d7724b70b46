"""All rules between cells of the data tables, which a table schema cannot say: importing this module registers them."""

from meta_analysis import rules_of_design, rules_of_facts
from meta_analysis.rule_register import RULES

__all__ = ["RULES", "rules_of_design", "rules_of_facts"]
