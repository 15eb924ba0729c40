package trace

import (
	"context"
	"fmt"
	"testing"
)

func TestAKeyStandsInALineOnceWithItsNewestValue(t *testing.T) {
	outer := Annotate(t.Context(), KeyOperation, "op-1", KeyService, "contoso-eu")
	inner := Annotate(outer, KeyService, "contoso-us", "try", 2)
	for want, ctx := range map[string]context.Context{
		"[]": t.Context(), "[operation=op-1 service=contoso-eu]": outer, "[operation=op-1 service=contoso-us try=2]": inner, // the outer one keeps its own
	} {
		if got := fmt.Sprint(Attrs(ctx)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestATraceIsKeptUntilAnotherComes(t *testing.T) {
	const a, b = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := With(With(With(t.Context(), a), ""), b+"\r\nx-evil: 1")
	if From(ctx) != a || From(With(ctx, b)) != b || From(t.Context()) != "" {
		t.Errorf("%q, %q, %q", From(ctx), From(With(ctx, b)), From(t.Context()))
	}
}
