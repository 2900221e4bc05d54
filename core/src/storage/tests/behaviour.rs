//! Single behaviours, each by its rule.
