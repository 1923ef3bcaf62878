package sim

import (
	"encoding/json"
	"fmt"
)

// Mutants are planted bugs, one for each kind of thing that the checkers look for, with the kinds of
// violation that tell of it.
var Mutants = map[string][]string{}

// mutateEntry lets the planted bug change a decision on its way into the log; lost: it does not get
// there, though the leader believes so.
func (w *world) mutateEntry(_ *member, e entry, data []byte) (_ []byte, lost bool) {
	if w.Mutant == "" {
		return data, false
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	return data, false
}
