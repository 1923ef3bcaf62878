package schema

// Rollout says who may use a model or a feature, as /v1/rollout shows it.
type Rollout struct {
	Object string `json:"object"` // "rollout"
	// Name is that of a feature, or of a model behind "model:".
	Name string `json:"name"`
	// Percent is of the keys that are in neither list, from 0 to 100, with up to two decimals.
	Percent float64 `json:"percent"`
	// Keys and Deny list ids and names of keys, ids of subjects, and teams.
	Keys []string `json:"keys"`
	Deny []string `json:"deny"`
	// Open reports that there is no rule: everybody may use it.
	Open bool `json:"open,omitempty"`
	// Owner, Allowed and Why answer for the one that was asked for.
	Owner   string `json:"owner,omitempty"`
	Allowed *bool  `json:"allowed,omitempty"`
	Why     string `json:"why,omitempty"`
}

// RolloutList are all rules, by name.
type RolloutList struct {
	Object string    `json:"object"` // "list"
	Data   []Rollout `json:"data"`
	// Features are the names that rules can be about, besides models.
	Features []string `json:"features"`
}

// RolloutChange is what a rule is to be: all of it, in place of the one before.
type RolloutChange struct {
	Percent float64  `json:"percent"`
	Keys    []string `json:"keys,omitempty"`
	Deny    []string `json:"deny,omitempty"`
}
