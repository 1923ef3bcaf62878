package scenario

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed examples
var examples embed.FS

// Names of examples, the first of which is meant where none is said. It has all keys explained, and
// a queue in its busiest hours, so that what waits, preempts, fails and recovers shows in its
// result. The second one is of a thousand devices, and shows what a large cluster comes to.
var ExampleNames = []string{"day", "thousand"}

// Example is a scenario as longtake simulate --example prints it. The error is for a usage message.
func Example(name string) (string, error) {
	text, err := examples.ReadFile("examples/" + name + ".yaml")
	if err != nil {
		return "", fmt.Errorf("the name is %.40q; allowed: %s", name, strings.Join(ExampleNames, ", "))
	}
	return string(text), nil
}
