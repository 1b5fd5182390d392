use crate::domain::{Order, Page, Result};
use crate::service::Service;
use poem::http::Uri;
use std::future::Future;
use url::form_urlencoded;

/// How many rows are held at once. A script may have 120 kB, so that these are at most 8 MB.
const BATCH: u32 = 64;
const _: () = assert!(BATCH <= Service::BATCH);

/// Where the rows of a list come from, a batch at a time.
pub trait Source: Send + Sync {
    /// What a row is.
    type Row: Send;

    /// One batch: at most `page.limit` rows, fewer than asked for only at the end.
    fn batch(&self, page: Page) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// The id of a row.
    fn id(row: &Self::Row) -> i64;
}

/// The rows of a list, read in batches as they are needed.
pub struct Rows<S: Source> {
    source: S,
    page: Page,
    ready: std::vec::IntoIter<S::Row>,
    at_end: bool,
    /// The last id, where the list has more rows than were asked for.
    pub more_after: Option<i64>,
}

impl<S: Source> Rows<S> {
    /// Reads the first batch, and finds out whether there is more than the page's limit: an
    /// answer says so in its head.
    ///
    /// # Errors
    /// As the source's.
    pub async fn open(source: S, mut page: Page) -> Result<Self> {
        let limit = page.limit.take();
        let first = ask(limit.map(|limit| u64::from(limit) + 1));
        let mut ready = batch(&source, page, first).await?;
        let more_after = match limit {
            Some(limit) => last_of_page(&source, page, first, limit, &ready).await?,
            None => None,
        };
        let mut at_end = ready.len() < first as usize;
        let mut next = ready.last().map_or(page, |row| page.following(S::id(row)));
        if let Some(last) = more_after {
            next = up_to(next, last);
            let read = ready.len();
            ready.retain(|row| match page.order {
                Order::Asc => S::id(row) <= last,
                Order::Desc => S::id(row) >= last,
            });
            at_end = ready.len() < read;
        }
        Ok(Self {
            source,
            page: next,
            ready: ready.into_iter(),
            at_end,
            more_after,
        })
    }

    /// The next row.
    ///
    /// # Errors
    /// As the source's.
    pub async fn next(&mut self) -> Result<Option<S::Row>> {
        if self.ready.len() == 0 && !self.at_end {
            let rows = batch(&self.source, self.page, BATCH).await?;
            self.at_end = rows.len() < BATCH as usize;
            if let Some(row) = rows.last() {
                self.page = self.page.following(S::id(row));
            }
            self.ready = rows.into_iter();
        }
        Ok(self.ready.next())
    }
}

async fn batch<S: Source>(source: &S, page: Page, rows: u32) -> Result<Vec<S::Row>> {
    let limit = Some(rows);
    source.batch(Page { limit, ..page }).await
}

fn ask(wanted: Option<u64>) -> u32 {
    wanted
        .and_then(|wanted| u32::try_from(wanted).ok())
        .map_or(BATCH, |wanted| wanted.min(BATCH))
}

/// The id of the row that fills the page, where another one follows it. Past one batch the ids
/// alone are kept of what is read to find out.
async fn last_of_page<S: Source>(
    source: &S,
    mut page: Page,
    first: u32,
    limit: u32,
    rows: &[S::Row],
) -> Result<Option<i64>> {
    let limit = limit as usize;
    let mut ids: Vec<i64> = rows.iter().map(S::id).collect();
    let mut asked = first;
    let mut seen = 0;
    loop {
        if seen + ids.len() > limit {
            // The row that fills the page may be the last one of the batch before.
            let last_before = match page.order {
                Order::Asc => page.after,
                Order::Desc => page.before,
            };
            return Ok(limit
                .checked_sub(seen + 1)
                .map_or(last_before, |at| Some(ids[at])));
        }
        if ids.len() < asked as usize {
            return Ok(None);
        }
        seen += ids.len();
        page = ids.last().map_or(page, |&last| page.following(last));
        asked = ask(Some((limit + 1 - seen) as u64));
        let rows = batch(source, page, asked).await?;
        ids = rows.iter().map(S::id).collect();
    }
}

/// The same page, ended with `last`, so that what is added meanwhile does not come twice.
fn up_to(page: Page, last: i64) -> Page {
    match page.order {
        Order::Asc => Page {
            before: Some(last + 1),
            ..page
        },
        Order::Desc => Page {
            after: Some(last - 1),
            ..page
        },
    }
}

/// The `Link` header to the page that follows (RFC 8288): this request with another beginning.
pub fn link_to_next(target: &str, uri: &Uri, order: Order, last: i64) -> String {
    let (bound, last) = match order {
        Order::Asc => ("after", last.to_string()),
        Order::Desc => ("before", last.to_string()),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    let given = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| name != bound));
    query.append_pair(bound, &last);
    format!("<{target}?{}>; rel=\"next\"", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers(i64);

    impl Source for Numbers {
        type Row = i64;

        async fn batch(&self, page: Page) -> Result<Vec<i64>> {
            let limit = page.limit.unwrap() as usize;
            let after = page.after.unwrap_or(0);
            let before = page.before.unwrap_or(i64::MAX).min(self.0 + 1);
            let all = (after + 1)..before;
            Ok(match page.order {
                Order::Asc => all.take(limit).collect(),
                Order::Desc => all.rev().take(limit).collect(),
            })
        }

        fn id(row: &i64) -> i64 {
            *row
        }
    }

    async fn read(count: i64, limit: Option<u32>, order: Order) -> (Vec<i64>, Option<i64>) {
        let page = Page {
            limit,
            order,
            ..Page::default()
        };
        let mut rows = Rows::open(Numbers(count), page).await.unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().await.unwrap() {
            all.push(row);
        }
        (all, rows.more_after)
    }

    #[tokio::test]
    async fn a_page_has_its_rows_and_says_whether_more_follow() {
        for count in [0, 1, 2, 63, 64, 65, 127, 128, 129, 300] {
            let (all, more) = read(count, None, Order::Asc).await;
            assert_eq!((all, more), ((1..=count).collect(), None));
            for limit in [1, 2, 62, 63, 64, 65, 127, 128, 129, 2000] {
                let kept = count.min(i64::from(limit));
                let more = count > kept;
                let (all, after) = read(count, Some(limit), Order::Asc).await;
                assert_eq!(all, (1..=kept).collect::<Vec<_>>(), "{count} {limit}");
                assert_eq!(after, more.then_some(kept), "{count} {limit}");
                let (all, before) = read(count, Some(limit), Order::Desc).await;
                let first = count - kept + 1;
                assert_eq!(all, (first..=count).rev().collect::<Vec<_>>());
                assert_eq!(before, more.then_some(first), "{count} {limit}");
            }
        }
    }

    #[test]
    fn a_link_keeps_the_other_parameters() {
        let uri = "/wsexec/tasks?limit=2&q=a%26b&after=4".parse().unwrap();
        assert_eq!(
            link_to_next("https://h/wsexec/tasks", &uri, Order::Asc, 6),
            "<https://h/wsexec/tasks?limit=2&q=a%26b&after=6>; rel=\"next\""
        );
    }
}
