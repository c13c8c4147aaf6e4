package mpi

// AtOnce is atOnce, for tests.
var AtOnce = &atOnce
