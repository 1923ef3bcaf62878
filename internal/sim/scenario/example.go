package scenario

import _ "embed"

// Example is a scenario with all parts explained, as longtake simulate --example prints it. It is
// of a size that takes less than a minute, and has a queue in its busiest hours, so that what
// waits, preempts, fails and recovers shows in its result.
//
//go:embed examples/day.yaml
var Example string
