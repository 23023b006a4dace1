"""What every algorithm must do, as checks and as a suite for algorithms from outside:

pytest --pyargs surefoot.testing --algorithm mypackage:MyFISOR
"""
