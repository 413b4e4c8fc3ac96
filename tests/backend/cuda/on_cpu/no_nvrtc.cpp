// A library without any function.
