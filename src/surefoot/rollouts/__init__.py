"""Rollouts of a policy in a task: a driver for tasks of pure JAX, inside `jit`, and one for any `VectorEnv`."""
