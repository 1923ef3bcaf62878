// Package schema is the JSON of the HTTP API: what its routes answer with, as servers write it and
// clients read it. The objects of videos, pages of them, models and errors are OpenAI's; what those
// have no field for is under "longtake". Names of fields here are promises to clients: they do not
// change, and new ones are added with omitempty.
package schema
