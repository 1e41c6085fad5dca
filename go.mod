module falconer

go 1.26
