import setuptools

# The release job rewrites the next line, so it stays exactly in this shape.
__version__ = "0.1.0"
setuptools.setup(version=__version__)
