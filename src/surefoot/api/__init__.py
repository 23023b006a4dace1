"""The functions behind `import surefoot`: everything that a command does is one call. `surefoot` imports each on first
use."""
