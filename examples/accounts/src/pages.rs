//! The pages. `maud` escapes what users typed.

use express_session::{Client, Timestamp, UserSession};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A field with the token of the session, which a page of another site cannot know.
fn token_field(token: &str) -> Markup {
    html! { input type="hidden" name="_csrf" value=(token); }
}

fn page(title: &str, messages: &[String], content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                h1 { (title) }
                @for message in messages { p role="status" { (message) } }
                (content)
            }
        }
    }
}

pub(crate) fn home(name: &str, messages: &[String], token: &str) -> Markup {
    page(
        &format!("Hello, {name}"),
        messages,
        &html! {
            nav { a href="/transfer" { "Transfer" } " " a href="/devices" { "Devices" } }
            form method="post" action="/logout" { (token_field(token)) button { "Log out" } }
        },
    )
}

pub(crate) fn login(messages: &[String], token: &str) -> Markup {
    page(
        "Log in",
        messages,
        &html! {
            form method="post" {
                (token_field(token))
                label { "Name" input name="name" autocomplete="username" required; }
                label { "Password" input name="password" type="password" autocomplete="current-password" required; }
                label { input name="remember" type="checkbox"; " Remember me on this device for a month" }
                button { "Log in" }
            }
        },
    )
}

pub(crate) fn confirm(messages: &[String], token: &str) -> Markup {
    page(
        "Is it you?",
        messages,
        &html! {
            form method="post" {
                (token_field(token))
                label { "Code" input name="code" inputmode="numeric" autocomplete="one-time-code" required; }
                button { "Confirm" }
            }
        },
    )
}

pub(crate) fn transfer(token: &str) -> Markup {
    page(
        "Transfer",
        &[],
        &html! {
            form method="post" {
                (token_field(token))
                label { "Amount in €" input name="amount" type="number" min="1" value="10"; }
                button { "Transfer" }
            }
        },
    )
}

pub(crate) fn devices(devices: &[UserSession], messages: &[String], token: &str) -> Markup {
    page(
        "Your devices",
        messages,
        &html! {
            table {
                tr { th { "Logged in" } th { "Last seen" } th { "From" } th { "With" } th {} }
                @for device in devices {
                    tr {
                        td { (time(device.authenticated())) }
                        td { (time(device.seen())) }
                        td { (address(device.last_client())) }
                        td { (user_agent(device.last_client())) }
                        td {
                            @if device.is_current() { "this device" } @else {
                                form method="post" action="/devices/end" {
                                    (token_field(token))
                                    input type="hidden" name="id" value=(device.public_id());
                                    button { "Log out" }
                                }
                            }
                        }
                    }
                }
            }
            form method="post" action="/devices/end-others" {
                (token_field(token)) button { "Log out on all other devices" }
            }
            a href="/" { "Back" }
        },
    )
}

/// The network of a client, where the request came through a socket.
fn address(client: Option<&Client>) -> String {
    let address = client.and_then(Client::address);
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// The user agent, which is the client's own word, as text.
fn user_agent(client: Option<&Client>) -> &str {
    client.and_then(Client::user_agent).unwrap_or("unknown")
}

/// A time to the minute, which passport does not note, in an Express part of the site.
fn time(time: Option<Timestamp>) -> String {
    let minute = |time: Timestamp| time.iso().chars().take(16).collect::<String>();
    time.map_or_else(|| "unknown".to_owned(), |time| minute(time).replace('T', " "))
}
