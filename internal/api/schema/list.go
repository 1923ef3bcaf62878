package schema

import "github.com/longtake/longtake/internal/job"

// List is a page of videos in OpenAI's shape. LastID is what to ask for the next page with. FirstID
// and LastID are empty on an empty page.
type List struct {
	Object  string  `json:"object"` // "list"
	Data    []Video `json:"data"`
	FirstID job.ID  `json:"first_id"`
	LastID  job.ID  `json:"last_id"`
	HasMore bool    `json:"has_more"`
}

// Model is a served model in OpenAI's shape, which has no word for what a model can do.
type Model struct {
	ID      string      `json:"id"`
	Object  string      `json:"object"` // "model"
	Created int64       `json:"created"`
	OwnedBy string      `json:"owned_by"`
	Details ServedModel `json:"longtake"`
}

// ServedModel is what a model can do, and where it is.
type ServedModel struct {
	job.Model
	// Default marks the model of requests that name none.
	Default bool `json:"default,omitempty"`
	// Shards is absent on a coordinator that does not lead.
	Shards *ModelShards `json:"shards,omitempty"`
}

// ModelShards names the shards that have a model: all of them, those on which it is loaded or is
// being loaded, and those that have nothing to do.
type ModelShards struct {
	Have    []string `json:"have"`
	Loaded  []string `json:"loaded"`
	Loading []string `json:"loading"`
	Free    []string `json:"free"`
}

// ModelList is the answer of /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// NodeList is the answer of /v1/nodes.
type NodeList struct {
	Object string `json:"object"`
	Data   []Node `json:"data"`
}
