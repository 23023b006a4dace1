"""Presets of CDT."""

from typing import Any

from surefoot.nn.transformer import TransformerConfig

CDT_PRESETS: dict[str, dict[str, Any]] = {
    # Minutes on two CPU cores: a thirtieth of the paper's work an update. Source: our own measurements.
    "small": {
        "policy_updates": 6_000,
        "policy_batch_size": 64,
        "network": TransformerConfig(width=64, blocks=2, heads=4, dropout=0.0),
        "learning_rate": 1e-3,
        "clip": 1.0,
        "augment_share": 0.2,
    },
    # The paper's sizes and 30 % of augmented episodes, with the corrected behavior.
    "paper": {"augment_share": 0.3},
    # What OSRL's code does (03a4586) by its defaults. Its degree and largest return of the augmentation, its largest
    # decrease and its first target returns are chosen by task there: give --frontier-degree, --most-return,
    # --largest-decrease and --target-return.
    "legacy": {
        "return_unit": 10.0,
        "cost_token": "remainder",
        "cost_class": "truncated",
        "entropy_over": "mean",
        "draw_reference": 70.0,
        "augment_share": 0.2,
        "frontier_degree": 1,
        "least_rise": 1.0,
        "fewest_in_bin": 2,
        "in_order": False,
    },
}
"""Preset -> fields to change."""
