package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apim-dr/internal/bench/yardstick"
	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

func TestBothSidesOfAPollAskOnceAndAnswerTheSame(t *testing.T) {
	arm, product := setUp(t)
	body, err := product.invocation(product.ids[0])
	if err != nil {
		t.Fatal(err)
	}
	var answers [2]any
	for i, side := range []http.Handler{product.handler, yardstick.Poll(http.DefaultClient)} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/PollOperation", bytes.NewReader(body))
		w := httptest.NewRecorder()
		side.ServeHTTP(w, r)
		if err := json.Unmarshal(w.Body.Bytes(), &answers[i]); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%v: %d %s", err, w.Code, w.Body)
		}
		if n := arm.asked.Swap(0); n != 1 {
			t.Errorf("%d requests to Resource Manager", n)
		}
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("(-product +yardstick):\n%s", diff)
	}
}

func TestEndedOperationsLieWhereTheStoreLooks(t *testing.T) {
	_, product := setUp(t)
	if err := product.end(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	id := dr.NewID(dr.KindBackup, time.Now().AddDate(0, 0, -3), "ended 2")
	if _, _, err := store.Over(product.blobs, store.Options{}).Operation(t.Context(), id); errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
}

func setUp(t *testing.T) (*instant, *local) {
	arm, err := newInstant()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arm.Close() })
	product, err := newLocal(t.Context(), arm.url, 2)
	if err != nil {
		t.Fatal(err)
	}
	return arm, product
}
