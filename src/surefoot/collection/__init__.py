"""Data of our own from the simulators: an online safe learner whose every episode is kept, then thinned."""
