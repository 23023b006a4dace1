"""What a log says of a trained policy, before it is tried."""
