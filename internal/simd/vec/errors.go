package vec

const (
	badOp   = "vec: unknown operation"
	badRank = "vec: more than 8 dimensions"
	badArgs = "vec: arguments do not fit each other"
)
