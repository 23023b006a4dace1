"""A run's folder for everything above training: states, data, summary, files of an evaluation."""
