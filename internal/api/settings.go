package api

import (
	"github.com/longtake/longtake/internal/config"
)

// ReadClients takes the settings that say what clients of an API may send: other names of models,
// the model and the format of clips that name none, and whether pictures are fetched from URLs.
// Both cmd/coordinator and `longtake up` have these settings; an error is a *config.Error.
func ReadClients(v *config.Values) (Clients, error) {
	aliases, err := ParseAliases(v.Strings("http.model-aliases"))
	if err != nil {
		return Clients{}, config.Errorf("http.model-aliases has %w", err)
	}
	return Clients{Aliases: aliases, Model: v.String("http.default-model"),
		Format: v.String("http.default-format"), FetchURLs: v.String("http.fetch-urls")}, nil
}
