"""What training runs have recorded, as figures, tables and a page.

Boundary: files in, figures and tables out; imports pandas, numpy, scipy and matplotlib, and no part of the training
stack.
"""
