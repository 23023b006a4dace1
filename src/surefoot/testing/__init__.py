"""Conformance checks of algorithms, and the suite that runs them on algorithms from outside:

pytest --pyargs surefoot.testing --algorithm mypackage:MyFISOR
"""
