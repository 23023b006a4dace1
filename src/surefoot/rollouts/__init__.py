"""Episodes of a policy in a task: one driver for tasks in pure JAX, inside `jit`, and one for any `VectorEnv`."""
