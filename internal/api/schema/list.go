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
	ID      string    `json:"id"`
	Object  string    `json:"object"` // "model"
	Created int64     `json:"created"`
	OwnedBy string    `json:"owned_by"`
	Details job.Model `json:"longtake"`
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
