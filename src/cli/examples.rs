//! What stands at the end of each command's help.

pub(super) const ALL: &str =
    "New here? `hither up` runs a demo on this machine, `hither init` writes a directory of your own,
`hither help COMMAND` shows examples.

Exit codes: 0 done, 1 your mistake (a wrong argument too), 2 ours, 3 done in part.";

pub(super) const UP: &str = "Examples:
  hither up                          # the demo, in ./hither-demo
  hither up ./cdn                    # your own directory: its addresses must be this machine's
  dig @127.0.0.1 -p 5300 www.shop.example +subnet=193.0.6.0/24";

pub(super) const INIT: &str = "Examples:
  hither init ./cdn                  # asks for what no option gives
  hither init ./cdn --yes --zone cdn.example --nameserver ns1=192.0.2.53,2001:db8::53 \\
      --pop fra@50.11,8.68,DE --edge fra-1@fra=192.0.2.10,2001:db8::10 \\
      --site shop=www.shop.example=https://origin.shop.example
  hither check ./cdn";

pub(super) const RUN: &str = "Examples:
  hither run --config /etc/hither --node fra-1
  HITHER_DIR=/etc/hither HITHER_NODE=ns1 hither run
  hither run --config /etc/hither --node fra-1 --take-over     # a new binary, and nobody notices";

pub(super) const CHECK: &str = "Examples:
  hither check ./cdn                 # exit code 0: nodes would take it
  hither check --online ./cdn        # also whether edges are reached and names lead here
  hither check --online --resolver 9.9.9.9 ./cdn
  hither check --plan ./cdn          # also where clients would go
  hither check --json ./cdn | jq '.problems[] | {file, line, message}'";

pub(super) const EXPLAIN: &str = "Examples:
  hither explain www.shop.example --from 193.0.6.1
  hither explain shop.cdn.example --batch resolvers.txt
  hither explain --url https://www.shop.example/assets/a.css -H 'User-Agent: Googlebot'";

pub(super) const GET: &str = "Examples:
  hither get http://www.shop.example/ --from 193.0.6.1
  hither get https://www.shop.example/ --from 193.0.6.1 --cacert hither-demo/.state/demo-ca.pem";

pub(super) const STATUS: &str = "Examples:
  hither status
  hither status --watch              # on a terminal a live table; q ends it
  hither status --json | jq '.nodes[] | select(.edge) | {id, requests: .edge.requests}'";

pub(super) const REPORT: &str = "Examples:
  hither report                      # of every site, from the first of the month until today
  hither report --site shop --from 2026-11-01 --to 2026-11-30
  hither report --json | jq '.rows[] | {day, site, requests}'

Exit code 3: some edges did not answer; they are named, and what they counted is missing.";

pub(super) const PURGE: &str = "Examples:
  hither purge --url https://www.shop.example/news/today.html
  hither purge --prefix https://www.shop.example/assets/ --soft
  hither purge --tag product-4711 --site shop
  hither purge --site shop           # all of it

Exit code 3: some edges have not acknowledged; they are named. Purge again.";

pub(super) const DRAIN: &str = "Examples:
  hither drain fra-1 && ssh root@fra-1 systemctl stop hither@fra-1
  hither undrain fra-1

Exit code 3: it is drained, but a name server may still name it, or no other edge serves.";

pub(super) const UNDRAIN: &str = "Examples:
  hither undrain fra-1";

pub(super) const PLAN: &str = "Examples:
  hither plan /etc/hither ./cdn
  hither plan /etc/hither ./cdn --queries /var/lib/hither/ns1/queries.jsonl";

pub(super) const SIGN: &str = "Examples:
  hither sign https://www.shop.example/films/a.mp4 --expires 2h
  hither sign https://www.shop.example/films/a.mp4 --address 192.0.2.7";

pub(super) const KEYS: &str = "Examples:
  hither keys                        # of every zone, with the DS for its parent
  hither keys create
  hither keys roll cdn.example       # then `hither keys` tells when to finish";

pub(super) const KEYS_CREATE: &str = "Examples:
  hither keys create
  hither keys create --split --algorithm ed25519";

pub(super) const KEYS_ROLL: &str = "Examples:
  hither keys roll cdn.example       # then `hither keys` tells when to finish
  hither keys roll cdn.example --zsk # needs no finish";

pub(super) const KEYS_FINISH: &str = "Examples:
  hither keys finish cdn.example";

pub(super) const MAP: &str = "Examples:
  hither map stats
  hither map export > latency/measured.csv
  hither map bench --matrix rtt.csv --nodes nodes.csv --plot map.svg
  hither map bench --matrix rtt.csv --json | jq '.ways[] | {sent_by, mean_ms}'";

pub(super) const MAP_BENCH: &str = "Examples:
  hither map bench --matrix rtt.csv
  hither map bench --matrix rtt.csv --nodes nodes.csv --pop fra --pop syd --plot map.svg
  hither map bench --matrix rtt.csv --json | jq '.ways[] | {sent_by, mean_ms}'

Clients are sent to a PoP at random; to the nearest (geography); the same, stretched by what PoPs
measure among themselves (prior); by what clients measured (learned); to the best there is
(optimal). Of the gap between geography and optimal a way closes a share.";

pub(super) const MAP_STATS: &str = "Examples:
  hither map stats                   # where a name server runs
  hither map stats --json | jq .prefixes";

pub(super) const MAP_EXPORT: &str = "Examples:
  hither map export > latency/measured.csv
  hither map export --json | jq '.rows[] | select(.rtt_ms > 200)'";

pub(super) const COMPLETIONS: &str = "Examples:
  hither completions bash > /usr/share/bash-completion/completions/hither
  hither completions zsh > /usr/local/share/zsh/site-functions/_hither
  hither completions fish > ~/.config/fish/completions/hither.fish
  source <(hither completions bash)  # for this shell alone";

pub(super) const MAN: &str = "Examples:
  hither man --out /usr/local/share/man/man1
  hither man | man -l -";
