module thole/readers

go 1.19
