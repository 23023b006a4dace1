"""The built-in kinds of evaluation: by cost limits, under budgets, from chosen starts, on images."""
