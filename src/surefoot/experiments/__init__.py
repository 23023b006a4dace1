"""What is run together, and on what: plans of tasks and methods, the store of their cells, who executes them."""
