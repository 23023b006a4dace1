"""Who does the work of cells: this process, processes beside it, or Ray."""
