"""A run's folder as everything above training reads and writes it: states, data, summary, files of an evaluation."""
