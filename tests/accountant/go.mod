module accountant

go 1.19
