"""The checks of the suite, a module for each subject."""
