package arm_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"apim-dr/internal/standin/arm"
	"apim-dr/internal/standin/identity"
)

// left is what the headers say is left of a kind: of the principal's bucket, and of that of all.
func (a answer) left(kind string) [2]string {
	const prefix = "X-Ms-Ratelimit-Remaining-Subscription-"
	return [2]string{a.header.Get(prefix + kind), a.header.Get(prefix + "Global-" + kind)}
}

// throttled checks a 429 and how long it tells to wait.
func (b *bench) throttled(a answer, kind, wait string) {
	b.t.Helper()
	b.want(a, 429, "SubscriptionRequestsThrottled")
	if want := "Number of '" + kind + "' requests for subscription '" + strings.TrimPrefix(subscription, "/subscriptions/") + "' actor '" + identity.ObjectID(appID) + "' exceeded. Please try again after '" + wait + "' seconds"; a.header.Get("Retry-After") != wait || !strings.HasPrefix(a.message(), want) {
		b.t.Fatalf("Retry-After %q, want %q: %s", a.header.Get("Retry-After"), wait, a.raw)
	}
}

func TestAnEmptyBucketRefusesUntilTheTimeItTold(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Reads = arm.ReadBucket })
	read := func() answer { return b.do("GET", west+current, "") }
	for range 249 {
		b.want(read(), 200, "")
	}
	if a := read(); a.status != 200 || a.left("Reads") != [2]string{"0", "3500"} {
		t.Fatalf("the last one: %d, left %v", a.status, a.left("Reads"))
	}
	b.throttled(read(), "read", "10")
	b.clock.pass(4 * time.Second) // there is something in the bucket, but who asks early is refused with a new value
	b.throttled(read(), "read", "6")
	b.clock.pass(6*time.Second - time.Nanosecond)
	b.throttled(read(), "read", "1")
	b.clock.pass(time.Nanosecond)
	if a := b.want(read(), 200, ""); a.left("Reads") != [2]string{"249", "3749"} {
		t.Errorf("left %v", a.left("Reads"))
	}
	b.clock.pass(time.Hour)
	if a := read(); a.left("Reads") != [2]string{"249", "3749"} {
		t.Errorf("more than the size is left: %v", a.left("Reads"))
	}
}

func TestABucketRefillsWhileItIsUsed(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Reads = arm.Bucket{Size: 10, Refill: 2} })
	for range 8 {
		b.do("GET", west+current, "")
	}
	b.clock.pass(1500 * time.Millisecond)
	if a := b.do("GET", west+current, ""); a.left("Reads") != [2]string{"4", "149"} {
		t.Errorf("left %v", a.left("Reads"))
	}
}

func TestEachKindAndSubscriptionAndPrincipalHasItsOwnBucket(t *testing.T) {
	b := newBench(t, func(c *arm.Config) {
		c.Reads, c.Writes = arm.Bucket{Size: 1, Refill: 1}, arm.Bucket{Size: 1, Refill: 1}
	})
	location := b.backup("contoso-west") // a write
	b.throttled(b.do("POST", west+"/restore"+current, b.body()), "write", "1")
	b.want(b.do("GET", location, ""), 202, "")
	b.throttled(b.do("GET", west+current, ""), "read", "1")
	b.want(b.do("DELETE", west+current, ""), 409, "ServiceLocked")
	b.throttled(b.do("DELETE", west+current, ""), "delete", "1")
	b.want(b.do("GET", strings.Replace(west, "00000000-0", "11111111-0", 1)+current, ""), 404, "ResourceNotFound")
	other, _ := b.tokens.Issue(audience, "0b0b0b0b-0000-0000-0000-00000000000b")
	b.want(b.do("GET", west+current, "", "Authorization", "Bearer "+other), 200, "")
	if n := len(b.srv.Operations()); n != 1 {
		t.Errorf("%d operations", n)
	}
	b.want(b.do("GET", west+current, "", "Authorization", ""), 401, "AuthenticationFailed") // counts for nobody
}

func TestAllPrincipalsOfASubscriptionShareAGlobalBucket(t *testing.T) {
	b := newBench(t, func(c *arm.Config) { c.Reads = arm.Bucket{Size: 1, Refill: 1} })
	ask := func(n int) answer {
		token, _ := b.tokens.Issue(audience, "principal-"+string(rune('a'+n)))
		return b.do("GET", west+current, "", "Authorization", "Bearer "+token)
	}
	for n := range 15 {
		b.want(ask(n), 200, "")
	}
	if a := b.want(ask(15), 429, "SubscriptionRequestsThrottled"); a.header.Get("Retry-After") != "1" || a.left("Reads")[1] != "0" {
		t.Errorf("left %v", a.left("Reads"))
	}
	b.clock.pass(time.Second)
	b.want(ask(16), 200, "")
}

func TestWithoutBucketsNothingIsThrottled(t *testing.T) {
	b := newBench(t, nil)
	for method, kind := range map[string]string{"GET": "Reads", "PATCH": "Writes", "DELETE": "Deletes"} {
		want := map[string][2]string{"GET": {"249", "3749"}, "PATCH": {"199", "2999"}, "DELETE": {"199", "2999"}}[method]
		for range 2 {
			if a := b.do(method, group+"absent"+current, "{}"); a.status != 404 || a.left(kind) != want {
				t.Errorf("%s: %d, left %v", method, a.status, a.left(kind))
			}
		}
	}
}

func TestTheOfficialClientMeetsA429(t *testing.T) {
	b, factory := officials(t, func(c *arm.Config) { c.Reads = arm.Bucket{Size: 2} }) // without Refill, since the clock is real
	for range 2 {
		if _, err := factory.NewServiceClient().Get(t.Context(), "contoso-rg", "contoso-west", nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err := factory.NewReportsClient().NewListByAPIPager("contoso-rg", "contoso-west", june, nil).NextPage(t.Context())
	e, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok || e.StatusCode != http.StatusTooManyRequests || e.ErrorCode != "SubscriptionRequestsThrottled" || e.RawResponse.Header.Get("Retry-After") != "2" {
		t.Errorf("got %v", err)
	}
	if r := b.srv.Requests(); len(r) != 3 || r[2].Status != 429 {
		t.Errorf("logged %+v", r)
	}
}
