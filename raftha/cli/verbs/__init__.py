"""Commands and their options; what they do is in the files of `raftha.cli` of the same name."""
