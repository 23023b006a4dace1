"""What `import surefoot` offers: everything that a command does is one call. `surefoot` imports each on first use."""
