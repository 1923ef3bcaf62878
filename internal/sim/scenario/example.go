package scenario

import _ "embed"

// Example is a scenario with all parts explained, as longtake simulate --example prints it. It has
// a queue in its busiest hours, so that what waits, preempts, fails and recovers shows in its
// result.
//
//go:embed examples/day.yaml
var Example string
