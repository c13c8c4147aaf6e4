package conv

// Version is part of what identifies measured times ([Want.Times]): times of
// another version are measured again. No test can see that a kernel became faster,
// so raise it by hand together with a change that makes one algorithm faster or
// slower relative to another. Results do not depend on it.
const Version = 2
