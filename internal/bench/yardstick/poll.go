// Package yardstick is what the product is measured beside: bare programs that do the same exchanges and nothing else. They keep no promise of the
// product's: nothing is conditional, nothing is repeated, and what is killed is lost.
package yardstick

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Poll answers an invocation of the Functions host as PollOperation does: it decodes the same JSON, asks the Location in the message once, and gives the
// same answer.
func Poll(client *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var envelope struct{ Data struct{ Message []byte } }
		var wake struct{ Location string }
		if err := json.NewDecoder(r.Body).Decode(&envelope); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := json.Unmarshal(envelope.Data.Message, &wake); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, wake.Location, nil)
		if err == nil {
			var resp *http.Response
			if resp, err = client.Do(req); err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"Outputs": map[string]any{}, "Logs": []string{}, "ReturnValue": nil})
	})
}

// Wait follows an operation of Resource Manager from its 202 on as the SDK's clients do, in the goroutine that calls it.
func Wait(ctx context.Context, client *http.Client, accepted *http.Response) error {
	pipeline := runtime.NewPipeline("bench", "v0", runtime.PipelineOptions{}, &policy.ClientOptions{Transport: client})
	poller, err := runtime.NewPoller[struct{}](accepted, pipeline, nil)
	if err != nil {
		return err
	}
	_, err = poller.PollUntilDone(ctx, nil)
	return err
}

// Reads is how often Wait asks for an operation that ends after so long: at each Retry-After.
func Reads(takes, retryAfter time.Duration) int { return max(1, int((takes+retryAfter-1)/retryAfter)) }
